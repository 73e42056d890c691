/** Maps an operator chain over a dataset, slice by slice: a sliding window of shards, continued as new when its history is long. */
import { allHandlersFinished, CancelledFailure, CancellationScope, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { MapWork, StageEnd, Sums, StepContext, SliceTotals, Budget } from '../schemas/steps.ts';
import type { Call } from '../schemas/call.ts';
import { failureOf } from './errors.ts';
import { shards } from './options.ts';

export interface StageInput {
  readonly call: Call;
  readonly context: StepContext;
  readonly work: MapWork;
  readonly queue: string;
  /** The first slice that is not done, and what was done in those before. */
  readonly next?: number;
  readonly before?: Sums;
  readonly historyLimit?: number;
}

const HISTORY = 3000;

export async function stage(input: StageInput): Promise<StageEnd> {
  const { work, call, context, before = { tried: 0, kept: 0, tokens: 0 } } = input;
  const begin = input.next ?? 0;
  const settled = new Map<number, SliceTotals>();
  const flying = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;
  let limit: keyof Budget | null = null;

  const run = async (slice: number) => {
    const name = `shard-${String(slice).padStart(4, '0')}`;
    const { shard } = shards({
      id: name,
      summary: `${call.path}, slice ${slice + 1} of ${work.slices}`,
      queue: input.queue,
      experiment: context.experiment,
    });
    const totals = await shard({ call, context, work, slice });
    settled.set(slice, totals);
    limit ??= totals.spent;
  };
  /** Slices done from the first on without a gap, and whether they kept as many as `until` wants. */
  const prefix = () => {
    let [slice, kept] = [begin, before.kept];
    const enough = () => work.until !== null && kept >= work.until;
    for (let totals; !enough() && (totals = settled.get(slice)) && totals.spent === null; slice++) kept += totals.kept;
    return { slice, enough: enough() };
  };
  const sums = (): Sums =>
    [...settled.values()].reduce(
      (sum, totals) => ({ tried: sum.tried + totals.in, kept: sum.kept + totals.kept, tokens: sum.tokens + totals.tokens }),
      before,
    );
  /** Whether those under way may not keep as many as `until` wants, if they keep what others did. */
  const wanted = () => {
    const { tried, kept } = sums();
    const each = tried > 0 ? kept / tried : 1;
    return work.until === null || kept + flying.size * work.sliceSize * each < work.until;
  };
  const long = () => workflowInfo().historyLength > (input.historyLimit ?? HISTORY);

  let next = begin;
  try {
    while (next < work.slices && !failed && limit === null && !prefix().enough && !long()) {
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
  // A lease that is cancelled with its stage may end shards before the server has told them why.
  if (failed)
    throw CancellationScope.current().consideredCancelled ? new CancelledFailure('the stage was cancelled') : failureOf(failed.error);
  const { slice, enough } = prefix();
  if (enough) return { slices: slice, spent: null };
  if (slice >= work.slices && work.candidates < work.over.rows) limit = 'candidates';
  if (limit !== null) return { slices: next, spent: { limit, ...sums() } };
  if (slice >= work.slices) return { slices: slice, spent: null };
  await condition(allHandlersFinished);
  return continueAsNew<typeof stage>({ ...input, next: slice, before: sums() });
}
