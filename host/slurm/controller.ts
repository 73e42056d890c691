/** Keeps as many worker jobs of a pool in Slurm as its work needs. Runs where the orchestrator does: as long as experiments may have work, on a
 *  host that may submit jobs. All state is in Slurm, under the jobs' name, so a controller that starts anew goes on with the jobs there. */
import { setTimeout as delay } from 'node:timers/promises';
import { decide } from './decide.ts';
import type { Job, SlurmJobs } from './jobs.ts';
import type { SlurmSettings } from './settings.ts';

/** What Temporal and the store know of a pool. */
export interface Demand {
  readonly needed: boolean;
  /** Jobs whose worker polls. */
  readonly polling: ReadonlySet<string>;
}

/** Milliseconds. Administrators ask not to call squeue more often. */
const LOOK_EVERY = 10_000;
/** Milliseconds before the next submission after one that was refused, or whose worker never came up: the first, and the longest. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [30_000, 600_000];

export interface ControllerOptions {
  readonly pool: string;
  readonly settings: SlurmSettings;
  readonly jobs: Pick<SlurmJobs, 'submit' | 'list' | 'cancel' | 'logOf'>;
  readonly demand: () => Promise<Demand>;
  /** Gets a sentence about why the pool has no worker; null: nothing to say. */
  readonly report: (sentence: string | null) => Promise<void>;
}

export class SlurmController {
  readonly #options: ControllerOptions;
  /** Jobs that have been seen in the queue and not at their end, and whether their worker has polled. */
  readonly #known = new Map<string, { readonly polled: boolean }>();
  #lastNeeded = -Infinity;
  #pause = 0;
  #notBefore = -Infinity;
  /** Why the last submission came to nothing. */
  #trouble: string | null = null;
  #reported: string | null | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  /** Looks and acts until the signal. Errors of Slurm, Temporal or the store become a sentence, and it goes on. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.turn().catch((error: unknown) =>
        this.#say(`The Slurm jobs of the pool ${this.#options.pool} cannot be looked after (${(error as Error).message}).`),
      );
      await delay(LOOK_EVERY, undefined, { signal }).catch(() => {});
    }
  }

  /** One look at the queues, and what follows from it. `now`: milliseconds. */
  async turn(now: number = performance.now()): Promise<void> {
    const { jobs: slurm, demand, settings, pool } = this.#options;
    const [jobs, { needed, polling }] = await Promise.all([slurm.list(), demand()]);
    if (needed) this.#lastNeeded = now;
    this.#judgeEnded(jobs, polling, now);
    const { submit, cancel } = decide({ jobs, polling, needed, idle: now - this.#lastNeeded }, settings);
    for (const id of cancel) {
      await slurm.cancel(id);
      this.#known.delete(id);
    }
    if (submit && now >= this.#notBefore) {
      try {
        const id = await slurm.submit();
        this.#known.set(id, { polled: false });
        this.#trouble = null;
      } catch (error) {
        this.#fail(`Slurm takes no worker job for the pool ${pool}: ${(error as Error).message}`, now);
      }
    }
    await this.#say(this.#trouble ?? waitingSentence(pool, jobs, cancel));
  }

  /** A job that has ended without its worker ever polling would end so again: its successor waits. */
  #judgeEnded(jobs: readonly Job[], polling: ReadonlySet<string>, now: number): void {
    const seen = new Map(jobs.map((job) => [job.id, job]));
    for (const [id, { polled }] of this.#known) {
      const job = seen.get(id);
      if (job && job.state !== 'ended') continue;
      this.#known.delete(id);
      if (polled || job?.slurm === 'CANCELLED') continue;
      const how = job ? ` (${job.slurm}, ${job.reason})` : '';
      const { pool, jobs: slurm } = this.#options;
      this.#fail(`The Slurm job ${id} of the pool ${pool} ended${how} before its worker was up: see ${slurm.logOf(id)}`, now);
    }
    for (const { id, state } of jobs) {
      if (state === 'ended') continue;
      const before = this.#known.get(id)?.polled ?? false;
      const polled = before || polling.has(id);
      this.#known.set(id, { polled });
      if (polled && !before) [this.#pause, this.#trouble, this.#notBefore] = [0, null, -Infinity];
    }
  }

  #fail(what: string, now: number): void {
    this.#pause = Math.min(Math.max(2 * this.#pause, FIRST_PAUSE), LONGEST_PAUSE);
    this.#notBefore = now + this.#pause;
    this.#trouble = `${what}. The next one is submitted after a pause of ${this.#pause / 1000} s; correct the cause, or \`slurm\` of the pool in pools.yaml.`;
  }

  async #say(sentence: string | null): Promise<void> {
    if (sentence === this.#reported) return;
    await this.#options.report(sentence).then(
      () => (this.#reported = sentence),
      () => {}, // the store is away: the next turn tries again
    );
  }
}

/** Why jobs have not started, in Slurm's words. */
function waitingSentence(pool: string, jobs: readonly Job[], cancelled: readonly string[]): string | null {
  const waiting = jobs.filter(({ id, state }) => state === 'waiting' && !cancelled.includes(id));
  if (waiting.length === 0) return null;
  const each = waiting.map(({ id, slurm, reason }) => `${id} (${slurm}, ${reason})`).join(' and ');
  return `The pool ${pool} waits for the Slurm job ${each}; \`squeue -j ${waiting[0]!.id} --start\` estimates when it starts.`;
}
