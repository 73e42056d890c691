/** A running experiment disturbed, and how long it takes to go on. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { alive } from '../../devices/processes.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { parts, type Part, type PartName } from './parts.ts';
import { hasGrown, type Sandbox } from './sandbox.ts';

/** Seconds from the end of the disturbance. */
export interface Recovery {
  /** Until the part was back: polls, answers, trains. After `up`: what the step needs. */
  readonly back: number;
  /** Until another child was on the device of the step, if one was needed. */
  readonly replaced: number | null;
  /** Until the first journaled record, training step or output. */
  readonly progress: number;
}

export type Signal = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP';

/** Milliseconds that a stopped process stands still. */
const STOPPED_FOR = 20_000;
/** Milliseconds, of a machine with much else to do. */
const GONE_WITHIN = 60_000;
const BACK_WITHIN = 200_000;

/** Hits a part with a signal while it has to do with a step; `mend` is what a person does afterwards, beside `up`. Throws when there is
 *  no such part then, or it does not come back. */
export function hit(sandbox: Sandbox, name: PartName, signal: Signal, stepKey: string, mend?: () => Promise<void>): Promise<Recovery> {
  const part: Part = parts[name];
  const up = part.up && sandbox.current;
  const pids = [...part.processes(sandbox, stepKey).map(({ pid }) => pid), ...(up ? [up.pid] : [])];
  if (pids.length === 0) throw new BackspinError('NotFound', `No ${name} runs in ${sandbox.home} at this moment.`);
  const mended = mend && { mend };
  if (signal === 'SIGSTOP')
    return disturbed(sandbox, stepKey, {
      async bad() {
        send(pids, 'SIGSTOP');
        await delay(STOPPED_FOR);
        send(pids, 'SIGCONT');
      },
      ...mended,
    });
  const back = part.returns(sandbox, stepKey);
  if (!up) return disturbed(sandbox, stepKey, { bad: async () => send(pids, signal), back, ...mended });
  const gone = () => sandbox.empty && !alive(up.pid, up.start);
  return disturbed(sandbox, stepKey, {
    async bad() {
      send(pids, signal);
      await sandbox.until(gone, GONE_WITHIN, '`up` and all that it had started has ended');
    },
    async mend() {
      await sandbox.up();
      await mend?.();
    },
    back,
  });
}

export interface Disturbance {
  readonly bad: () => Promise<void>;
  /** What a person does afterwards. */
  readonly mend?: () => Promise<void>;
  readonly back?: () => boolean | Promise<boolean>;
}

/** Does what is bad, and waits until what it was done to is back and something has gone on. */
export async function disturbed(sandbox: Sandbox, stepKey: string, { bad, mend, back = () => true }: Disturbance): Promise<Recovery> {
  const { marker } = sandbox.slot(stepKey) ?? {};
  await bad();
  const ended = performance.now();
  const before = sandbox.progress();
  await mend?.();
  const times: { back?: number; replaced?: number; progress?: number } = {};
  await sandbox.until(
    async () => {
      const now = (performance.now() - ended) / 1000;
      const slot = sandbox.slot(stepKey);
      if (slot && slot.marker !== marker) times.replaced ??= now;
      if (hasGrown(before, sandbox.progress()) || sandbox.completed) times.progress ??= now;
      if (times.back === undefined && (await back())) times.back = now;
      return times.back !== undefined && times.progress !== undefined;
    },
    BACK_WITHIN,
    'what was disturbed is back, and something goes on',
  );
  return { back: times.back!, replaced: times.replaced ?? null, progress: times.progress! };
}

export function send(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // it has ended meanwhile: perhaps another's end was its own
    }
  }
}
