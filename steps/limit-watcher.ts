/** Stops a map before its last record: when its quorum is reached, or when its budget of tokens, attempts or minutes is spent. */
import { appendFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../store/files.ts';
import { JournalCounter } from './counter.ts';
import type { MapLimits } from '../schemas/steps.ts';

export type MapLimit = keyof MapLimits;

/** Milliseconds between two checks. A limit may be exceeded by this much. */
const CHECK_EVERY = 250;

/**
 * Aborts all batches of a step when it reaches one of its limits. The counts are on disk: in the files of all batches, and in a clock file
 * that grows by a byte per check. So a kill loses nothing, and nothing counts twice. Each lease of the step has its own watcher, and their
 * minutes add up.
 */
export class LimitWatcher implements Disposable {
  readonly #watchers: Map<string, LimitWatcher>;
  readonly #limits: MapLimits;
  readonly #clock: string;
  readonly #counter: JournalCounter;
  readonly #reached = new AbortController();
  readonly #firstCheck: Promise<void>;
  /** Time up to which the clock file has counted. */
  #countedUntil = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #users = 0;
  /** The limit that was reached. */
  reached: MapLimit | undefined;

  /** Returns the watcher for a batch; dispose of it when the batch ends. `among` holds the watchers of the lease, `work` is the step's
   *  folder, `batches` the folder of its batches. */
  static async of(among: Map<string, LimitWatcher>, work: string, batches: string, limits: MapLimits): Promise<LimitWatcher> {
    const watcher = among.get(nameOf(limits)) ?? new LimitWatcher(among, work, batches, limits);
    among.set(nameOf(limits), watcher);
    watcher.#users++;
    await watcher.#firstCheck;
    return watcher;
  }

  private constructor(among: Map<string, LimitWatcher>, work: string, batches: string, limits: MapLimits) {
    this.#watchers = among;
    this.#limits = limits;
    this.#clock = join(work, 'clock');
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
    if (this.#limits.minutes !== null) await appendFile(this.#clock, '.'.repeat(ticks)).catch(() => {}); // a full disk stops the batches too
    await this.#check();
  }

  /** Checks the limits now and then periodically. Ignores read errors until the next check. */
  async #check(): Promise<void> {
    const { quorum, tokens, attempts, minutes } = this.#limits;
    await this.#counter.look().catch(() => {});
    const clock = (await ifThere(stat(this.#clock)).catch(() => undefined))?.size ?? 0;
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
}

const nameOf = (limits: MapLimits): string => JSON.stringify(limits);
