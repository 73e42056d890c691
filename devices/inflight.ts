/**
 * Every running activity leaves its task token in a file. Whoever starts next on this host fails the attempts of dead workers by
 * them, and the server hands the work out again at once instead of after a heartbeat timeout.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ActivityExecuteInput, ActivityInterceptorsFactory, Next, ActivityInboundCallsInterceptor } from '@temporalio/worker';
import type { Context } from '@temporalio/activity';
import { ActivityCompletionError, ActivityNotFoundError, type Client, type Connection } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { alive, self } from './processes.ts';

const folderOf = (home: string) => join(home, 'inflight');

/** Milliseconds that a token stays after its activity has ended, until the result has surely left this process. A token that
 *  stays too long is harmless: it names one attempt, and the server knows what is over. */
const DELIVERED_WITHIN = 2_000;
const TRY_EVERY = 500;

/** Activity interceptor: keeps the token file, and holds a result until the server can be reached, since the SDK drops one that
 *  it cannot deliver within ten seconds. `home` is on a disk of this host. */
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
          await reachable(context);
          setTimeout(() => void forget(context, file), DELIVERED_WITHIN).unref();
        }
      },
    },
  });
}

/** Waits until the server answers, beating meanwhile. A cancelled activity does not wait: nobody may want its result any more. */
async function reachable(context: Context): Promise<void> {
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

/** Removes a token, unless the server has gone meanwhile and may not have got the result: a worker that is told to stop together
 *  with its server ends cancelled activities that nobody hears of. */
async function forget(context: Context, file: string): Promise<void> {
  try {
    await ping(context);
    rmSync(file, { force: true });
  } catch {
    // it stays for whoever starts next on this host
  }
}

async function ping(context: Context): Promise<void> {
  const connection = context.client.connection as Connection;
  await connection.withDeadline(Date.now() + 2_000, () => connection.workflowService.getSystemInfo({}));
}

/** Tells the server of every attempt whose worker on this host has died. Gives their number; they are handed out again at once. */
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
        if (!/^[\w+/]+=*$/.test(token)) continue; // killed, or without power, while it wrote this
        await client.activity.fail(
          Buffer.from(token, 'base64'),
          ApplicationFailure.create({ type: 'WorkerDied', message: `The worker process ${pid} died.`, nextRetryDelay: 100 }),
        );
        failed++;
      } catch (error) {
        const over = error instanceof ActivityNotFoundError || (error as NodeJS.ErrnoException).code === 'ENOENT';
        const torn = error instanceof ActivityCompletionError && /task token/i.test(error.message);
        if (!over && !torn) throw error; // the file stays for the next who tries
      }
      rmSync(join(folder, name), { force: true });
    }
    rmSync(folder, { recursive: true, force: true });
  }
  return failed;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // somebody else has seen to it
  }
}
