/** Maps an operator chain over a dataset, batch by batch: a sliding window of batches, continued as new when its history is long. */
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
  /** The first batch that is not done, and what was done in those before. */
  readonly next?: number;
  readonly before?: RunningTotals;
  readonly historyLimit?: number;
}

const HISTORY = 3000;

export async function stage(input: StageInput): Promise<StageEnd> {
  const { work, call, context, before = { tried: 0, kept: 0, tokens: 0 } } = input;
  const begin = input.next ?? 0;
  const settled = new Map<number, BatchTotals>();
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
    settled.set(index, totals);
    limit ??= totals.spent;
  };
  /** Batches done from the first on without a gap, and whether they kept as many as `until` wants. */
  const prefix = () => {
    let [index, kept] = [begin, before.kept];
    const enough = () => work.until !== null && kept >= work.until;
    for (let totals; !enough() && (totals = settled.get(index)) && totals.spent === null; index++) kept += totals.kept;
    return { index, enough: enough() };
  };
  const sums = (): RunningTotals =>
    [...settled.values()].reduce(
      (sum, totals) => ({ tried: sum.tried + totals.in, kept: sum.kept + totals.kept, tokens: sum.tokens + totals.tokens }),
      before,
    );
  /** Whether those under way may not keep as many as `until` wants, if they keep what others did. */
  const wanted = () => {
    const { tried, kept } = sums();
    const each = tried > 0 ? kept / tried : 1;
    return work.until === null || kept + flying.size * work.batchSize * each < work.until;
  };
  const long = () => workflowInfo().historyLength > (input.historyLimit ?? HISTORY);

  let next = begin;
  try {
    while (next < work.batches && !failed && limit === null && !prefix().enough && !long()) {
      const flight: Promise<void> = run(next++)
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => flying.delete(flight));
      flying.add(flight);
      await condition(() => (flying.size < work.window && wanted()) || prefix().enough || limit !== null || failed !== undefined);
    }
  } finally {
    await CancellationScope.nonCancellable(() => Promise.all(flying));
  }
  // A lease that is cancelled with its stage may end batches before the server has told them why.
  if (failed)
    throw CancellationScope.current().consideredCancelled ? new CancelledFailure('the stage was cancelled') : failureOf(failed.error);
  const { index, enough } = prefix();
  if (enough) return { batches: index, spent: null };
  if (index >= work.batches && work.candidates < work.over.rows) limit = 'candidates';
  if (limit !== null) return { batches: next, spent: { limit, ...sums() } };
  if (index >= work.batches) return { batches: index, spent: null };
  await condition(allHandlersFinished);
  return continueAsNew<typeof stage>({ ...input, next: index, before: sums() });
}
