/** Maps an operator chain over a dataset, slice by slice: a sliding window of shards, continued as new when its history is long. */
import { allHandlersFinished, CancelledFailure, CancellationScope, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { MapWork } from '../activities/open.ts';
import type { StepContext } from '../activities/services.ts';
import type { Call } from '../recipe/call.ts';
import { shards } from './options.ts';

export interface StageInput {
  readonly call: Call;
  readonly context: StepContext;
  readonly work: MapWork;
  readonly queue: string;
  /** The first slice that is not done, and what those before kept, for `until`. */
  readonly next?: number;
  readonly kept?: number;
  readonly historyLimit?: number;
}

/** Shards scheduled at once: enough that no worker waits for the next. */
const WINDOW = 8;
const HISTORY = 3000;

/** Gives the number of slices, counted from the first, that were done. */
export async function stage(input: StageInput): Promise<number> {
  const { work, call, context } = input;
  const begin = input.next ?? 0;
  const settled = new Map<number, number>(); // slice -> records kept
  const flying = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;

  const run = async (slice: number) => {
    const name = `shard-${String(slice).padStart(4, '0')}`;
    const { shard } = shards({
      id: name,
      summary: `${call.path}, slice ${slice + 1} of ${work.slices}`,
      queue: input.queue,
      experiment: context.experiment,
    });
    const { kept } = await shard({ call, context, work, slice });
    settled.set(slice, kept);
  };
  /** Slices done from the first on without a gap, and what they kept: the prefix that `until` speaks of. */
  const prefix = () => {
    let [slice, kept] = [begin, input.kept ?? 0];
    while (settled.has(slice) && !(work.until !== null && kept >= work.until)) kept += settled.get(slice++)!;
    return { slice, kept, enough: work.until !== null && kept >= work.until };
  };
  const long = () => workflowInfo().historyLength > (input.historyLimit ?? HISTORY);

  let next = begin;
  try {
    while (next < work.slices && !failed && !prefix().enough && !long()) {
      const flight: Promise<void> = run(next++)
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => flying.delete(flight));
      flying.add(flight);
      await condition(() => flying.size < WINDOW || failed !== undefined);
    }
  } finally {
    await CancellationScope.nonCancellable(() => Promise.all(flying));
  }
  // A lease that is cancelled with its stage may end shards before the server has told them why.
  if (failed) throw CancellationScope.current().consideredCancelled ? new CancelledFailure('the stage was cancelled') : failed.error;
  const { slice, kept, enough } = prefix();
  if (slice >= work.slices || enough) return slice;
  await condition(allHandlersFinished);
  return continueAsNew<typeof stage>({ ...input, next: slice, kept });
}
