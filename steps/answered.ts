/** Maps records with the answers of a subprocess in place of a model's. */
import { RecordScheduler } from '../inference/flow.ts';
import { noMetrics } from '../schemas/metrics.ts';
import type { MapWork, Span, StepContext } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { runBatch } from './batch.ts';
import { loadParams } from './chain.ts';
import { commitMap } from './commit.ts';
import { noModels } from './models.ts';
import type { Registry } from './registry.ts';
import type { AnyOperator, Resolved, StoredLink } from './resolved.ts';

export interface OfflineMap {
  readonly store: Store;
  readonly registry: Registry;
  readonly resolved: Resolved;
  readonly context: StepContext;
  readonly work: MapWork;
  readonly signal: AbortSignal;
}

/** Runs the map and commits it. `answered` returns the operator with the answers for the records `from` to `to`, which come in order. */
export async function commitAnswered(
  { store, registry, resolved, context, work, signal }: OfflineMap,
  answered: (operator: AnyOperator, from: number, to: number) => Promise<AnyOperator>,
  subprocessSpans?: readonly Span[],
): Promise<Output> {
  const { over, build, batches, batchSize } = work;
  const [link] = resolved.chain as readonly [StoredLink];
  const params = await loadParams(resolved.params, store);
  for (let batch = 0; batch < batches; batch++) {
    const from = batch * batchSize;
    const to = Math.min(from + batchSize, over.rows);
    const chain = [{ ...link, operator: await answered(link.operator, from, to) }];
    const scheduler = new RecordScheduler(noModels.concurrency);
    const { seed } = context;
    const part = {
      batch,
      from,
      to,
      limits: null,
      models: noModels,
      scheduler,
      onAllStarted: () => {},
      peers: new Map(),
      watchers: new Map(),
      signal,
    };
    await runBatch({ store, metrics: noMetrics, registry, resolved: { ...resolved, chain }, params, seed, over, skip: 0, build, ...part });
  }
  return commitMap(store, resolved, {
    over,
    skip: 0,
    build,
    batches: batches,
    until: null,
    cut: false,
    determinism: resolved.determinism,
    ...(subprocessSpans && { subprocessSpans }),
  });
}
