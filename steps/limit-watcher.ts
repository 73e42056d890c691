/** Stops a map before its last record: when its quorum is reached, or when its budget of tokens, attempts or minutes is spent. */
import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../store/files.ts';
import { SHARE_EVERY, type SharedWork } from '../store/shared-work.ts';
import { JournalCounter } from './counter.ts';
import type { MapLimits } from '../schemas/steps.ts';

export type MapLimit = keyof MapLimits;

export interface WatchedFiles {
  /** The step's folder, and the folder of its batches. */
  readonly work: string;
  readonly batches: string;
  readonly shared: SharedWork | undefined;
}

/** Milliseconds between two checks. A limit may be exceeded by this much. */
const CHECK_EVERY = 250;

/**
 * Aborts all batches of a step when it reaches one of its limits. The counts are on disk: in the files of all batches, and in a clock file
 * that grows by a byte per check. So a kill loses nothing, and nothing counts twice. Each lease of the step has its own watcher, and their
 * minutes add up. What other hosts have done counts a few seconds later.
 */
export class LimitWatcher implements Disposable {
  readonly #watchers: Map<string, LimitWatcher>;
  readonly #limits: MapLimits;
  readonly #work: string;
  readonly #shared: SharedWork | undefined;
  readonly #counter: JournalCounter;
  readonly #reached = new AbortController();
  readonly #firstCheck: Promise<void>;
  /** Time up to which the clock file has counted. */
  #countedUntil = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #sharedAt = -Infinity;
  #users = 0;
  /** The limit that was reached. */
  reached: MapLimit | undefined;

  /** Returns the watcher for a batch; dispose of it when the batch ends. `among` holds the watchers of the lease. */
  static async of(among: Map<string, LimitWatcher>, files: WatchedFiles, limits: MapLimits): Promise<LimitWatcher> {
    const watcher = among.get(nameOf(limits)) ?? new LimitWatcher(among, files, limits);
    among.set(nameOf(limits), watcher);
    watcher.#users++;
    await watcher.#firstCheck;
    return watcher;
  }

  private constructor(among: Map<string, LimitWatcher>, { work, batches, shared }: WatchedFiles, limits: MapLimits) {
    this.#watchers = among;
    this.#limits = limits;
    this.#work = work;
    this.#shared = shared;
    this.#counter = new JournalCounter(batches);
    this.#firstCheck = this.#check();
  }

  /** Aborts when a limit is reached. */
  get signal(): AbortSignal {
    return this.#reached.signal;
  }

  [Symbol.dispose](): void {
    if (--this.#users > 0) return;
    clearTimeout(this.#timer);
    this.#watchers.delete(nameOf(this.#limits));
  }

  async #tick(): Promise<void> {
    const ticks = Math.floor((performance.now() - this.#countedUntil) / CHECK_EVERY); // more than one if the process was busy
    this.#countedUntil += ticks * CHECK_EVERY;
    if (this.#limits.minutes !== null) await appendFile(join(this.#work, CLOCK), '.'.repeat(ticks)).catch(() => {}); // a full disk stops the batches too
    await this.#check();
  }

  /** Checks the limits now and then periodically. Ignores read errors until the next check. */
  async #check(): Promise<void> {
    const { quorum, tokens, attempts, minutes } = this.#limits;
    await this.#share().catch(() => {});
    await this.#counter.look().catch(() => {});
    const clock = minutes === null ? 0 : await this.#clocks().catch(() => 0);
    const spent: readonly (readonly [MapLimit, number, number | null])[] = [
      ['quorum', this.#counter.records, quorum],
      ['tokens', this.#counter.tokens, tokens],
      ['attempts', this.#counter.attempts, attempts],
      ['minutes', (clock * CHECK_EVERY) / 60_000, minutes],
    ];
    this.reached ??= spent.find(([, is, most]) => most !== null && is >= most)?.[0];
    if (this.reached !== undefined) this.#reached.abort(new Error(`${this.reached} reached`));
    else if (this.#watchers.get(nameOf(this.#limits)) === this) this.#timer = setTimeout(() => void this.#tick(), CHECK_EVERY);
  }

  /** Exchanges counts with other hosts, every few seconds. */
  async #share(): Promise<void> {
    if (!this.#shared || performance.now() - this.#sharedAt < SHARE_EVERY) return;
    this.#sharedAt = performance.now();
    if (this.#limits.minutes !== null) await this.#shared.pushOwn(join(this.#work, CLOCK));
    await this.#shared.pull(this.#work);
  }
  async #clocks(): Promise<number> {
    const names = (await readdir(this.#work)).filter((name) => name === CLOCK || name.startsWith(`${CLOCK}@`));
    const sizes = await Promise.all(names.map(async (name) => (await ifThere(stat(join(this.#work, name))))?.size ?? 0));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}

/** Grows by a byte per check. Those of other hosts have the host's name behind an @. */
const CLOCK = 'clock';

const nameOf = (limits: MapLimits): string => JSON.stringify(limits);
