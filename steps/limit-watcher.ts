/** The end of a map before its last record: a quorum is settled, or tokens, attempts or minutes are spent. */
import { appendFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../store/files.ts';
import { JournalCounter } from './counter.ts';
import type { MapLimits } from '../schemas/steps.ts';

export type MapLimit = keyof MapLimits;

/** Milliseconds. By so much a bound may be passed. */
const LOOK_EVERY = 250;

/**
 * Tells every batch of a step when one of its bounds is reached. What counts is on disk, in what all batches write and in a clock that grows
 * by a byte a look; so a kill loses nothing of it, and nothing counts twice. One for each lease of the step: their minutes add up.
 */
export class LimitWatcher implements Disposable {
  readonly #among: Map<string, LimitWatcher>;
  readonly #limits: MapLimits;
  readonly #clock: string;
  readonly #counter: JournalCounter;
  readonly #reached = new AbortController();
  readonly #first: Promise<void>;
  /** Up to when the clock has counted. */
  #counted = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #users = 0;
  /** The bound that was reached. */
  reached: MapLimit | undefined;

  /** For a batch that begins; disposed of when it has ended. `among` holds those of its lease, `work` is the step's, `batches` the folder
   *  of its batches. */
  static async of(among: Map<string, LimitWatcher>, work: string, batches: string, limits: MapLimits): Promise<LimitWatcher> {
    const bounds = among.get(nameOf(limits)) ?? new LimitWatcher(among, work, batches, limits);
    among.set(nameOf(limits), bounds);
    bounds.#users++;
    await bounds.#first;
    return bounds;
  }

  private constructor(among: Map<string, LimitWatcher>, work: string, batches: string, limits: MapLimits) {
    this.#among = among;
    this.#limits = limits;
    this.#clock = join(work, 'clock');
    this.#counter = new JournalCounter(batches);
    this.#first = this.#look();
  }

  /** Aborts when a bound is reached. */
  get signal(): AbortSignal {
    return this.#reached.signal;
  }

  [Symbol.dispose](): void {
    if (--this.#users > 0) return;
    clearTimeout(this.#timer);
    this.#among.delete(nameOf(this.#limits));
  }

  async #tick(): Promise<void> {
    const ticks = Math.floor((performance.now() - this.#counted) / LOOK_EVERY); // more than one where the process was busy
    this.#counted += ticks * LOOK_EVERY;
    if (this.#limits.minutes !== null) await appendFile(this.#clock, '.'.repeat(ticks)).catch(() => {}); // a full disk stops the work too
    await this.#look();
  }

  /** Looks, and does so again by and by. What cannot be read just now is read then. */
  async #look(): Promise<void> {
    const { quorum, tokens, attempts, minutes } = this.#limits;
    await this.#counter.look().catch(() => {});
    const clock = (await ifThere(stat(this.#clock)).catch(() => undefined))?.size ?? 0;
    const spent: readonly (readonly [MapLimit, number, number | null])[] = [
      ['quorum', this.#counter.records, quorum],
      ['tokens', this.#counter.tokens, tokens],
      ['attempts', this.#counter.attempts, attempts],
      ['minutes', (clock * LOOK_EVERY) / 60_000, minutes],
    ];
    this.reached ??= spent.find(([, is, most]) => most !== null && is >= most)?.[0];
    if (this.reached !== undefined) this.#reached.abort(new Error(`${this.reached} reached`));
    else if (this.#among.get(nameOf(this.#limits)) === this) this.#timer = setTimeout(() => void this.#tick(), LOOK_EVERY);
  }
}

const nameOf = (limits: MapLimits): string => JSON.stringify(limits);
