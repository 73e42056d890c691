/** Maps an operator chain over a dataset through a sliding window of batches. Continues as new when its history is long. */
import { allHandlersFinished, CancelledFailure, CancellationScope, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { MapWork, StageEnd, RunningTotals, StepContext, BatchTotals, Budget } from '../schemas/steps.ts';
import type { StepCall } from '../schemas/call.ts';
import { failureOf } from './errors.ts';
import { batches } from './options.ts';

export interface StageInput {
  readonly call: StepCall;
  readonly context: StepContext;
  readonly work: MapWork;
  readonly queue: string;
  /** The first batch that is not done, and the totals of the batches before it. */
  readonly next?: number;
  readonly before?: RunningTotals;
  readonly historyLimit?: number;
}

/** Continues as new after this many events. */
const HISTORY = 3000;

export async function stage(input: StageInput): Promise<StageEnd> {
  const { work, call, context } = input;
  const done = new DoneBatches(input);
  const flying = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;
  let limit: keyof Budget | null = null;

  const run = async (index: number) => {
    const name = `batch-${String(index).padStart(4, '0')}`;
    const { batch } = batches({
      id: name,
      summary: `${call.path}, batch ${index + 1} of ${work.batches}`,
      queue: input.queue,
      experiment: context.experiment,
    });
    const totals = await batch({ call, context, work, batch: index });
    done.add(index, totals);
    limit ??= totals.spent;
  };
  const isLong = () => workflowInfo().historyLength > (input.historyLimit ?? HISTORY);

  let next = done.first;
  try {
    while (next < work.batches && !failed && limit === null && !done.prefix().enough && !isLong()) {
      const flight: Promise<void> = run(next++)
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => flying.delete(flight));
      flying.add(flight);
      await condition(
        () => (flying.size < work.window && done.wantMore(flying.size)) || done.prefix().enough || limit !== null || failed !== undefined,
      );
    }
  } finally {
    await CancellationScope.nonCancellable(() => Promise.all(flying));
  }
  // When a lease is cancelled together with its stage, batches may fail before the server tells them of the cancellation.
  if (failed)
    throw CancellationScope.current().consideredCancelled ? new CancelledFailure('the stage was cancelled') : failureOf(failed.error);
  const { index, enough } = done.prefix();
  if (enough) return { batches: index, spent: null };
  if (index >= work.batches && work.candidates < work.over.rows) limit = 'candidates';
  if (limit !== null) return { batches: next, spent: { limit, ...done.sums() } };
  if (index >= work.batches) return { batches: index, spent: null };
  await condition(allHandlersFinished);
  return continueAsNew<typeof stage>({ ...input, next: index, before: done.sums() });
}

/** The batches that are done, in this run and in those before. */
class DoneBatches {
  /** The first batch of this run. */
  readonly first: number;
  readonly #before: RunningTotals;
  readonly #work: MapWork;
  readonly #totals = new Map<number, BatchTotals>();

  constructor({ next = 0, before = { tried: 0, kept: 0, tokens: 0 }, work }: StageInput) {
    this.first = next;
    this.#before = before;
    this.#work = work;
  }

  add(index: number, totals: BatchTotals): void {
    this.#totals.set(index, totals);
  }

  /** How many batches are done without a gap, counted from the first, and whether they kept as many records as `until` wants. */
  prefix(): { index: number; enough: boolean } {
    const { until } = this.#work;
    let [index, kept] = [this.first, this.#before.kept];
    const enough = () => until !== null && kept >= until;
    for (let totals; !enough() && (totals = this.#totals.get(index)) && totals.spent === null; index++) kept += totals.kept;
    return { index, enough: enough() };
  }

  sums(): RunningTotals {
    return [...this.#totals.values()].reduce(
      (sum, totals) => ({ tried: sum.tried + totals.in, kept: sum.kept + totals.kept, tokens: sum.tokens + totals.tokens }),
      this.#before,
    );
  }

  /** Whether the batches in flight may keep too few for `until`, if they keep the same share as the batches that are done. */
  wantMore(inFlight: number): boolean {
    const { until, batchSize } = this.#work;
    const { tried, kept } = this.sums();
    const share = tried > 0 ? kept / tried : 1;
    return until === null || kept + inFlight * batchSize * share < until;
  }
}
