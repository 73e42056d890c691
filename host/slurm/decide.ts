/** Decides when a pool gets another worker job, and when one that waits is given back. Pure: Slurm itself keeps the state. */
import type { Job } from './jobs.ts';
import type { SlurmSettings } from './settings.ts';

export interface Situation {
  readonly jobs: readonly Job[];
  /** Jobs whose worker polls. */
  readonly polling: ReadonlySet<string>;
  /** Whether steps wait for a device group of the pool, or nobody knows yet what its nodes compute on. */
  readonly needed: boolean;
  /** Milliseconds since the pool was last needed. */
  readonly idle: number;
}

export interface Decision {
  readonly submit: boolean;
  readonly cancel: readonly string[];
}

/** One job at a time: the next one follows when the last one polls. */
export function decide({ jobs, polling, needed, idle }: Situation, { jobs: most, ahead, idleExit }: SlurmSettings): Decision {
  const waiting = jobs.filter(({ state }) => state === 'waiting');
  const running = jobs.filter(({ state }) => state === 'running');
  const working = running.filter(({ id }) => polling.has(id));
  const starting = waiting.length + running.length - working.length;
  const ending = working.filter(({ left }) => left <= ahead);
  const staying = working.length - ending.length;
  const successor = ending.length > staying;
  return {
    submit: starting === 0 && staying < most && (needed || successor),
    cancel: needed || successor || idle < idleExit ? [] : waiting.map(({ id }) => id),
  };
}
