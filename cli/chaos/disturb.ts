/** Injects faults into a running experiment, and measures its recovery. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { alive } from '../../devices/processes.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { parts, type Part, type PartName } from './parts.ts';
import { hasProgressed, type Sandbox } from './sandbox.ts';

/** Seconds since the end of the fault. */
export interface Recovery {
  /** Until the part polls, answers or trains again. After `up`: until the process that the step needs does. */
  readonly back: number;
  /** Until a new subprocess ran on the step's device, if the step needed one. */
  readonly replaced: number | null;
  /** Until the first journaled record, training step or output. */
  readonly progress: number;
}

export type Signal = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP';

/** Milliseconds between SIGSTOP and SIGCONT. */
const STOPPED_FOR = 20_000;
/** Milliseconds, generous enough for a busy machine. */
const GONE_WITHIN = 60_000;
const BACK_WITHIN = 200_000;

/** Sends a signal to a part that works for a step. `mend`: repairs that a person makes afterwards, besides `up`. Throws if the part is
 *  not running, or does not recover. */
export function injectFault(
  sandbox: Sandbox,
  name: PartName,
  signal: Signal,
  stepKey: string,
  mend?: () => Promise<void>,
): Promise<Recovery> {
  const part: Part = parts[name];
  const up = part.up && sandbox.current;
  const pids = [...part.processes(sandbox, stepKey).map(({ pid }) => pid), ...(up ? [up.pid] : [])];
  if (pids.length === 0) throw new BackspinError('NotFound', `No ${name} runs in ${sandbox.home} at this moment.`);
  const repaired: Pick<Disturbance, 'repair'> | undefined = mend && { repair: mend };
  if (signal === 'SIGSTOP')
    return disturb(sandbox, stepKey, {
      async inject() {
        sendSignal(pids, 'SIGSTOP');
        await delay(STOPPED_FOR);
        sendSignal(pids, 'SIGCONT');
      },
      ...repaired,
    });
  const isBack = part.returns(sandbox, stepKey);
  if (!up) return disturb(sandbox, stepKey, { inject: async () => sendSignal(pids, signal), isBack, ...repaired });
  const gone = () => sandbox.empty && !alive(up.pid, up.start);
  return disturb(sandbox, stepKey, {
    async inject() {
      sendSignal(pids, signal);
      await sandbox.until(gone, GONE_WITHIN, '`up` and all that it had started has ended');
    },
    async repair() {
      await sandbox.up();
      await mend?.();
    },
    isBack,
  });
}

export interface Disturbance {
  readonly inject: () => Promise<void>;
  /** Repairs that a person makes afterwards. */
  readonly repair?: () => Promise<void>;
  readonly isBack?: () => boolean | Promise<boolean>;
}

/** Injects a fault, and waits until the part is back and the experiment makes progress. */
export async function disturb(sandbox: Sandbox, stepKey: string, { inject, repair, isBack = () => true }: Disturbance): Promise<Recovery> {
  const { marker } = sandbox.slot(stepKey) ?? {};
  await inject();
  const ended = performance.now();
  const before = sandbox.progress();
  await repair?.();
  const times: { back?: number; replaced?: number; progress?: number } = {};
  await sandbox.until(
    async () => {
      const now = (performance.now() - ended) / 1000;
      const slot = sandbox.slot(stepKey);
      if (slot && slot.marker !== marker) times.replaced ??= now;
      if (hasProgressed(before, sandbox.progress()) || sandbox.completed) times.progress ??= now;
      if (times.back === undefined && (await isBack())) times.back = now;
      return times.back !== undefined && times.progress !== undefined;
    },
    BACK_WITHIN,
    () =>
      [times.back === undefined && 'what was disturbed is back', times.progress === undefined && 'something goes on']
        .filter(Boolean)
        .join(', and '),
  );
  return { back: times.back!, replaced: times.replaced ?? null, progress: times.progress! };
}

export function sendSignal(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // it has ended, perhaps because another process did
    }
  }
}
