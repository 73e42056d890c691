/** Performs everything in a step that needs no device group. Does not depend on Temporal: activities, threads and tests call it. */
import type { DownloadProgress } from '../devices/hub.ts';
import { RecordScheduler } from '../inference/flow.ts';
import type { PeerOutcomes } from '../inference/limiter.ts';
import type { StepCall } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type {
  MapStart,
  MapWork,
  StepLookup,
  StageEnd,
  BatchTotals,
  StepContext,
  Span,
  BatchInput,
  DownloadState,
} from '../schemas/steps.ts';
import { addUses, type TokenUses } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { runBatch } from './batch.ts';
import { batchesFolder, startFolder, startName } from './batch-files.ts';
import { importExternal, checkExternals } from './canary.ts';
import { loadParams } from './chain.ts';
import { commitMap, usesOf } from './commit.ts';
import { suiteOperatorStep, measureData, measureModel } from './evaluate.ts';
import { isSource, sourceOf } from './definitions.ts';
import { downloadDataset, hubDatasetOf } from './hub-data.ts';
import { downloadModel, hubModelOf, isHubModel } from './hub-model.ts';
import { readBatch } from './joined.ts';
import { EarlierReplies, type Done } from './journal.ts';
import { cutKey } from './key.ts';
import type { LimitWatcher } from './limit-watcher.ts';
import type { Models } from './models.ts';
import { checkRoom, lookUp, openStep } from './open.ts';
import { reduceStep } from './reduce.ts';
import type { Registry } from './registry.ts';
import { resolve } from './resolve.ts';
import type { Resolved } from './resolved.ts';
import type { Services, ActivityHandle } from './services.ts';
import { secondsOf } from './spans.ts';

interface ResolvedCall {
  readonly registry: Registry;
  readonly step: Resolved;
}
async function resolved(services: Services, call: StepCall, context: StepContext): Promise<ResolvedCall> {
  await services.check(context);
  const registry = await services.registry(context.modules);
  return { registry, step: await resolve(call, context, registry, services.machine) };
}

const entry = (output: Output): LedgerEntry => ({ result: output.result, stepKey: output.stepKey, cached: false });

/** Returns the operations of a step. Batches of one step share their parameters and limits, so keep one object per process or per lease. */
export function stepsOf(services: Services) {
  const running: RunningSteps = new Map();
  return {
    open: (call: StepCall, context: StepContext): Promise<StepLookup> => openStep(services, call, context),

    /** `onAllStarted` is called once all records of the batch are in flight. */
    async batch(input: BatchInput, models: Models, { signal, heartbeat }: ActivityHandle, onAllStarted = () => {}): Promise<BatchTotals> {
      if (models.serverStatus) heartbeat(models.serverStatus);
      const of = await resolved(services, input.call, input.context);
      return batchOf(services, running, of, input, { models, signal, onAllStarted });
    },

    /** Joins the batches of a map, or computes the metrics of an evaluation. */
    async commit(call: StepCall, context: StepContext, work: MapWork, end: StageEnd): Promise<LedgerEntry> {
      const of = await resolved(services, call, context);
      const existing = await services.store.output(end.spent === null ? of.step.stepKey : cutKey(of.step));
      if (existing && (await services.store.has(existing.result))) return entry(existing);
      return entry(await (call.verb === 'map' ? commitBatches(services, of, work, end) : commitAnswers(services, of, work, end)));
    },

    /** Checks external models before the first record of a step. */
    async canary(call: StepCall, context: StepContext, beat: ActivityHandle): Promise<void> {
      const { registry, step } = await resolved(services, call, context);
      await checkExternals(services, step, registry, context, beat);
    },

    /** The stored result of a step, if there is one. */
    async known(call: StepCall, context: StepContext): Promise<LedgerEntry | undefined> {
      return lookUp(services, (await resolved(services, call, context)).step);
    },

    /** Downloads what the step imports from the Hub, which may take hours. `compute` then finds it in the Hub's cache. */
    async download(call: StepCall, context: StepContext, { signal, heartbeat }: ActivityHandle): Promise<void> {
      const follower = {
        signal,
        onProgress: (progress: DownloadProgress) => heartbeat({ state: 'downloading', ...progress } satisfies DownloadState),
      };
      if (isHubModel(call)) await downloadModel(hubModelOf(call), follower);
      if (!isSource(call)) return;
      const registry = await services.registry(context.modules);
      const dataset = hubDatasetOf(call, registry);
      if (dataset) await downloadDataset(dataset, sourceOf(call, registry), follower);
    },

    /** Looks up or performs a reducer, a source, an import of a model, or a suite over a dataset. */
    async compute(call: StepCall, context: StepContext, beat: ActivityHandle): Promise<LedgerEntry> {
      const { registry, step } = await resolved(services, call, context);
      const known = await lookUp(services, step);
      if (known) return known;
      await checkRoom(services);
      const { store } = services;
      if (call.operation === 'model:external') return entry(await importExternal(services, step, context, beat));
      if (call.verb === 'evaluate') return entry(await measureData(store, registry, step));
      return entry(await reduceStep({ store, registry, resolved: step, seed: context.seed, signal: beat.signal }));
    },
  };
}

/** Shared by the batches of one step while they run. */
interface RunningStep {
  batches: number;
  readonly scheduler: RecordScheduler;
  readonly params: Promise<object>;
  readonly earlier: Promise<EarlierReplies>;
  readonly peers: Map<string, PeerOutcomes>;
  readonly watchers: Map<string, LimitWatcher>;
}
/** Keyed by the folder of the step's batches. */
type RunningSteps = Map<string, RunningStep>;

async function batchOf(
  { store, metrics }: Services,
  running: RunningSteps,
  { registry, step }: ResolvedCall,
  { context, work, batch }: BatchInput,
  resources: { readonly models: Models; readonly signal: AbortSignal; readonly onAllStarted: () => void },
): Promise<BatchTotals> {
  const asked = suiteOperatorStep(step, registry);
  const { stepKey, params } = asked;
  const { over, skip, build, limits, batchSize, candidates } = work;
  const folder = startFolder(store, stepKey, work);
  const shared = running.get(folder) ?? {
    batches: 0,
    scheduler: new RecordScheduler(resources.models.concurrency),
    params: loadParams(params, store),
    earlier: earlierReplies(store, stepKey, work),
    peers: new Map(),
    watchers: new Map(),
  };
  running.set(folder, shared);
  shared.batches++;
  const from = batch * batchSize;
  const to = Math.min(from + batchSize, candidates);
  const { seed } = context;
  const { scheduler, earlier, peers, watchers } = shared;
  try {
    const [loaded, replies] = await Promise.all([shared.params, earlier]);
    const common = { store, metrics, registry, resolved: asked, params: loaded, seed, over, skip, build, limits };
    return await runBatch({ ...common, batch, from, to, scheduler, earlier: replies, peers, watchers, ...resources });
  } finally {
    if (--shared.batches === 0) running.delete(folder);
  }
}

async function earlierReplies(store: Store, stepKey: string, start: MapStart): Promise<EarlierReplies> {
  const batches = batchesFolder(store, stepKey);
  await store.shared?.pull(batches, { except: startFolder(store, stepKey, start) });
  return new EarlierReplies(batches, startName(start));
}

async function commitBatches({ store }: Services, { step }: ResolvedCall, work: MapWork, { batches, spent }: StageEnd): Promise<Output> {
  await store.shared?.pull(startFolder(store, step.stepKey, work), { journals: false });
  const { over, skip, build, until, limits } = work;
  const cut = spent !== null;
  // Speed decides which records a quorum, or a budget of tokens, attempts or minutes, leaves out.
  const timed = (limits?.quorum ?? null) !== null || (cut && spent.limit !== 'candidates');
  const determinism = timed ? 'timing' : step.determinism;
  return commitMap(store, step, { over, skip, build, batches, until, cut, determinism });
}

async function commitAnswers({ store }: Services, { registry, step }: ResolvedCall, work: MapWork, end: StageEnd): Promise<Output> {
  await store.shared?.pull(startFolder(store, step.stepKey, work), { journals: false });
  const settled = new Map<string, Done>();
  const cost = { requests: 0, tokens: 0, attempts: 0 };
  let uses: TokenUses = {};
  const spans: Span[] = [];
  for (let batch = 0; batch < end.batches; batch++) {
    const { totals, done } = await readBatch(store, step, work, batch);
    cost.requests += totals.requests;
    cost.tokens += totals.tokens;
    uses = addUses(uses, totals.uses);
    cost.attempts += totals.attempts;
    spans.push(...totals.spans);
    for (const one of done) settled.set(one.id, one);
  }
  const output = await measureModel(store, registry, step, work.over, settled, {
    ...cost,
    ...usesOf(step, uses),
    seconds: secondsOf(spans),
  });
  await store.clearWork(step.stepKey);
  return output;
}
