/** Keeps the record of the experiment in the store up to date, by what is new; what cannot be written holds nothing up, and is told. */
import { CancellationScope, condition, sleep } from '@temporalio/workflow';
import type { RecordNews, RecordVersion } from '../schemas/experiment.ts';
import { causeOf, type Cause } from './errors.ts';
import { untilIdle } from './scopes.ts';
import type { StepTable } from './step-table.ts';

/** Milliseconds between two failures of a writing that itself tries again for as long as it takes. */
const PAUSE = 60_000;
const LONGEST = 3_600_000;

/** Puts news of the steps of these paths into the store; false: it lacks what they build on. Patiently: it ends only when it has. */
type Write = (news: Pick<RecordNews, 'written' | 'since' | 'only'>, paths: ReadonlySet<string>, patiently: boolean) => Promise<unknown>;

export class Recorder {
  readonly #run: string;
  readonly #steps: StepTable;
  readonly #write: Write;
  readonly #trouble: (why: Cause | null) => void;
  /** There is something that the store does not have. */
  #stale = false;
  #writing: Promise<void> | undefined;
  #failed = false;
  /** The last writing of this run, or of one before that the store is known to have; null: all is to be written. */
  #last: RecordVersion | null;
  /** Not all of it is written yet. */
  #whole: boolean;

  /** `trouble` is told why a writing fails, and of the end of that (null). */
  constructor(run: string, steps: StepTable, last: RecordVersion | null, write: Write, trouble: (why: Cause | null) => void) {
    this.#run = run;
    this.#steps = steps;
    this.#last = last;
    this.#whole = last === null;
    this.#write = write;
    this.#trouble = trouble;
  }

  /** The number of the writing behind which this run's news begin, for who has that record; undefined: not known. */
  after({ run, count }: RecordVersion): number | undefined {
    if (run === this.#run) return count;
    return this.#last?.run === run && count >= this.#last.count && !this.#whole ? 0 : undefined;
  }
  /** The writing that holds all steps; undefined: there is none. */
  get complete(): RecordVersion | undefined {
    return this.#stale || this.#whole || this.#steps.unwritten ? undefined : (this.#last ?? undefined);
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
      await untilIdle(); // a run from the top may be in the midst of what is in the store already
      this.#stale = false;
      try {
        const patiently = this.#failed;
        await this.#writePart(patiently);
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

  async #writePart(patiently: boolean): Promise<void> {
    const { count, paths, last } = this.#steps.write();
    const written = { run: this.#run, count };
    const only = this.#whole && last ? { only: this.#steps.all.map(({ path }) => path) } : {};
    if ((await this.#write({ written, since: this.#last, ...only }, paths, patiently)) !== false) {
      this.#last = written;
      this.#steps.wrote(count);
      if (last) this.#whole = false;
      else this.#stale = true;
    } else {
      [this.#last, this.#whole, this.#stale] = [null, true, true];
      this.#steps.touchAll();
    }
  }
}
