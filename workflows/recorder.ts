/** Keeps the record of the experiment in the store up to date by writing only the news. A failed write holds nothing up; people see it. */
import { CancellationScope, condition, sleep } from '@temporalio/workflow';
import type { RecordNews, RecordVersion } from '../schemas/experiment.ts';
import { causeOf, type Cause } from './errors.ts';
import { untilIdle } from './scopes.ts';
import type { StepTable } from './step-table.ts';

/** Milliseconds to wait after the failure of a patient write, which retries by itself: at first, and at most. */
const PAUSE = 60_000;
const LONGEST = 3_600_000;

/** Writes news of the steps of these paths. False: the store lacks the version that they build on. `patiently`: retries without end. */
type Write = (news: Pick<RecordNews, 'written' | 'since' | 'only'>, paths: ReadonlySet<string>, patiently: boolean) => Promise<unknown>;

export class Recorder {
  readonly #run: string;
  readonly #steps: StepTable;
  readonly #write: Write;
  readonly #trouble: (why: Cause | null) => void;
  /** The store lacks some news. */
  #stale = false;
  #writing: Promise<void> | undefined;
  #failed = false;
  /** The last version that the store is known to have, of this run or an earlier one; null: everything must be written. */
  #last: RecordVersion | null;
  /** The record must hold all steps, and does not yet. */
  #whole: boolean;

  /** `trouble` gets the reason when a write fails, and null when a write succeeds again. */
  constructor(run: string, steps: StepTable, last: RecordVersion | null, write: Write, trouble: (why: Cause | null) => void) {
    this.#run = run;
    this.#steps = steps;
    this.#last = last;
    this.#whole = last === null;
    this.#write = write;
    this.#trouble = trouble;
  }

  /** The count after which this run's news begin for a reader who has that version; undefined: not known. */
  after({ run, count }: RecordVersion): number | undefined {
    if (run === this.#run) return count;
    return this.#last?.run === run && count >= this.#last.count && !this.#whole ? 0 : undefined;
  }
  /** The version that holds all steps; undefined: there is none. */
  get complete(): RecordVersion | undefined {
    return this.#stale || this.#whole || this.#steps.unwritten ? undefined : (this.#last ?? undefined);
  }

  /** Resolves when the store has the present state, or a later one. Never rejects. All calls during a write share the next write. */
  record(): Promise<void> {
    this.#stale = true;
    this.#writing ??= CancellationScope.nonCancellable(() => this.#writeAll());
    return this.#writing;
  }

  /** Resolves when no write is in flight, or when writes fail. */
  idle(): Promise<void> {
    return condition(() => this.#writing === undefined || this.#failed);
  }

  async #writeAll(): Promise<void> {
    let pause = PAUSE;
    while (this.#stale) {
      await untilIdle(); // a run from the top may still be passing steps that the store has already
      this.#stale = false;
      try {
        const patiently = this.#failed;
        await this.#writePart(patiently);
        if (patiently) {
          this.#trouble(null);
          this.#stale = true; // the record just written still shows the failure
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
