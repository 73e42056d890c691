/** The end of a map before its last record: a quorum is settled, or tokens or minutes are spent. */
import { statSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tally } from './journal.ts';

export interface Limits {
  /** Records that are settled. */
  readonly quorum: number | null;
  readonly tokens: number | null;
  readonly minutes: number | null;
}
export type Bound = keyof Limits;

/** Milliseconds. By so much a bound may be passed. */
const LOOK_EVERY = 250;

/**
 * Tells every slice of a step when one of its bounds is reached. What counts is on disk, in the journals of all slices and in a clock
 * that grows by a byte a look; so a kill loses nothing of it, and nothing counts twice. One for each step and process.
 */
export class Bounds implements Disposable {
  static readonly #open = new Map<string, Bounds>();
  readonly #name: string;
  readonly #limits: Limits;
  readonly #clock: string;
  readonly #tally: Tally;
  readonly #reached = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #users = 0;
  /** The bound that was reached. */
  reached: Bound | undefined;

  /** For a slice that begins; disposed of when it has ended. `work` is the step's, `slices` the folder of its slices. */
  static of(work: string, slices: string, limits: Limits): Bounds {
    const name = `${slices} ${JSON.stringify(limits)}`;
    const bounds = Bounds.#open.get(name) ?? new Bounds(name, work, slices, limits);
    Bounds.#open.set(name, bounds);
    bounds.#users++;
    return bounds;
  }

  private constructor(name: string, work: string, slices: string, limits: Limits) {
    this.#name = name;
    this.#limits = limits;
    this.#clock = join(work, 'clock');
    this.#tally = new Tally(slices);
    this.#look();
    if (this.reached === undefined) this.#timer = setInterval(() => void this.#tick(), LOOK_EVERY);
  }

  /** Aborts when a bound is reached. */
  get signal(): AbortSignal {
    return this.#reached.signal;
  }

  [Symbol.dispose](): void {
    if (--this.#users > 0) return;
    clearInterval(this.#timer);
    Bounds.#open.delete(this.#name);
  }

  async #tick(): Promise<void> {
    if (this.#limits.minutes !== null) await appendFile(this.#clock, '.').catch(() => {}); // a full disk stops the work too
    this.#look();
  }

  #look(): void {
    const { quorum, tokens, minutes } = this.#limits;
    this.#tally.look();
    const spent: readonly (readonly [Bound, number, number | null])[] = [
      ['quorum', this.#tally.records, quorum],
      ['tokens', this.#tally.tokens, tokens],
      ['minutes', ((statSync(this.#clock, { throwIfNoEntry: false })?.size ?? 0) * LOOK_EVERY) / 60_000, minutes],
    ];
    this.reached ??= spent.find(([, is, most]) => most !== null && is >= most)?.[0];
    if (this.reached === undefined) return;
    clearInterval(this.#timer);
    this.#reached.abort(new Error(`${this.reached} reached`));
  }
}
