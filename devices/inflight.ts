/** Keeps the task token of every running activity in a file. The next process that starts on this host uses the tokens to fail the attempts
 *  of dead workers, so the server retries them at once instead of after a heartbeat timeout. */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ActivityExecuteInput, ActivityInterceptorsFactory, Next, ActivityInboundCallsInterceptor } from '@temporalio/worker';
import type { Context } from '@temporalio/activity';
import { ActivityCompletionError, ActivityNotFoundError, type Client, type Connection } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { alive, self } from './processes.ts';

const folderOf = (home: string) => join(home, 'inflight');

/** Milliseconds that a token stays after its activity has ended, until the worker has surely delivered the result. A token that stays too
 *  long does no harm: it names one attempt, and the server knows that it has ended. */
const DELIVERED_WITHIN = 2_000;
const TRY_EVERY = 500;

/** Activity interceptor. Writes the token file and holds back a result until the server is reachable, because the SDK drops results that it
 *  cannot deliver within ten seconds. `home` must be on a disk of this host. */
export function inflight(home: string): ActivityInterceptorsFactory {
  const folder = join(folderOf(home), `${self.pid}-${self.start}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return (context) => ({
    inbound: {
      async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>) {
        const { workflowExecution, activityId, attempt, base64TaskToken } = context.info;
        const name = [workflowExecution?.workflowId ?? '', activityId, attempt].map(encodeURIComponent).join('~');
        const file = join(folder, name.slice(-200));
        writeFileSync(file, base64TaskToken, { flush: true, mode: 0o600 });
        try {
          return await next(input);
        } finally {
          await awaitServer(context);
          setTimeout(() => void removeToken(context, file), DELIVERED_WITHIN).unref();
        }
      },
    },
  });
}

/** Waits until the server answers, and heartbeats meanwhile. Does not wait if the activity was cancelled: then nobody needs its result. */
async function awaitServer(context: Context): Promise<void> {
  const signal = context.cancellationSignal;
  while (!signal.aborted) {
    try {
      return await ping(context);
    } catch {
      context.heartbeat();
      await delay(TRY_EVERY, undefined, { signal }).catch(() => {});
    }
  }
}

/** Removes a token, unless the server has stopped and may not have got the result. That happens when a worker shuts down together with its
 *  server. */
async function removeToken(context: Context, file: string): Promise<void> {
  try {
    await ping(context);
    rmSync(file, { force: true });
  } catch {
    // keep it for the next process that starts on this host
  }
}

async function ping(context: Context): Promise<void> {
  const connection = context.client.connection as Connection;
  await connection.withDeadline(Date.now() + 2_000, () => connection.workflowService.getSystemInfo({}));
}

/** Fails every attempt whose worker on this host has died. Returns their number; the server retries them at once. */
export async function failDeadAttempts(client: Client, home: string): Promise<number> {
  mkdirSync(folderOf(home), { recursive: true, mode: 0o700 });
  let failed = 0;
  for (const owner of readdirSync(folderOf(home))) {
    const [pid, start] = owner.split('-');
    if (alive(Number(pid), start!)) continue;
    const folder = join(folderOf(home), owner);
    for (const name of namesIn(folder)) {
      try {
        const token = readFileSync(join(folder, name), 'utf8');
        if (!/^[\w+/]+=*$/.test(token)) continue; // the worker died, or the power failed, while it wrote this
        await client.activity.fail(
          Buffer.from(token, 'base64'),
          ApplicationFailure.create({ type: 'WorkerDied', message: `The worker process ${pid} died.`, nextRetryDelay: 100 }),
        );
        failed++;
      } catch (error) {
        const over = error instanceof ActivityNotFoundError || (error as NodeJS.ErrnoException).code === 'ENOENT';
        const torn = error instanceof ActivityCompletionError && /task token/i.test(error.message);
        if (!over && !torn) throw error; // keep the file for the next process that tries
      }
      rmSync(join(folder, name), { force: true });
    }
    rmSync(folder, { recursive: true, force: true });
  }
  return failed;
}

/** Whether a worker of this home runs an activity, or has just ended one. */
export const isBusy = (home: string): boolean => namesIn(folderOf(home)).some((owner) => namesIn(join(folderOf(home), owner)).length > 0);

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // another process has removed it
  }
}
