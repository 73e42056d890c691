/** Keeps the record of the experiment in the store up to date; what cannot be written holds nothing up, and is told. */
import { CancellationScope, condition, sleep } from '@temporalio/workflow';
import { causeOf, type Cause } from './errors.ts';
import { settled } from './scopes.ts';

/** Milliseconds between two failures of a writing that itself tries again for as long as it takes. */
const PAUSE = 60_000;
const LONGEST = 3_600_000;

export class Recorder {
  readonly #write: (patiently: boolean) => Promise<void>;
  readonly #trouble: (why: Cause | null) => void;
  /** There is something that the store does not have. */
  #stale = false;
  #writing: Promise<void> | undefined;
  #failed = false;

  /** `write` puts the state of the moment into the store; patiently: it ends only when it has. `trouble` is told why it fails, and of the end of that (null). */
  constructor(write: (patiently: boolean) => Promise<void>, trouble: (why: Cause | null) => void) {
    this.#write = write;
    this.#trouble = trouble;
  }

  /** Resolves when the store has the state as it is now, or as it is later. Never rejects. Calls that come meanwhile are one more writing. */
  record(): Promise<void> {
    this.#stale = true;
    this.#writing ??= CancellationScope.nonCancellable(() => this.#writeAll());
    return this.#writing;
  }

  /** Resolves when nothing is being written, or cannot be. */
  idle(): Promise<void> {
    return condition(() => this.#writing === undefined || this.#failed);
  }

  async #writeAll(): Promise<void> {
    let pause = PAUSE;
    while (this.#stale) {
      await settled(); // a run from the top may be in the midst of what is in the store already
      this.#stale = false;
      try {
        const patiently = this.#failed;
        await this.#write(patiently);
        if (patiently) {
          this.#trouble(null);
          this.#stale = true; // what was written tells of the trouble
        }
        this.#failed = false;
      } catch (error) {
        this.#stale = true;
        this.#trouble(causeOf(error));
        if (this.#failed) {
          await sleep(pause, { summary: 'the record of the experiment cannot be written' });
          pause = Math.min(2 * pause, LONGEST);
        }
        this.#failed = true;
      }
    }
    this.#writing = undefined;
  }
}
