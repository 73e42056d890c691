/** All that is done for a step but what takes a device group. Without Temporal: activities call it, threads do, and tests. */
import { join } from 'node:path';
import { Flow } from '../inference/flow.ts';
import type { PeerOutcomes } from '../inference/limiter.ts';
import type { StepCall } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { LimitWatcher } from './limit-watcher.ts';
import { importExternal, checkExternals } from './canary.ts';
import { commitMap } from './commit.ts';
import { answering, measureData, measureModel } from './evaluate.ts';
import { checkRoom, lookUp, openStep } from './open.ts';
import type { MapWork, StepLookup, StageEnd, BatchTotals, StepContext, Span, BatchInput } from '../schemas/steps.ts';
import { readBatch } from './joined.ts';
import { Earlier, type Done } from './journal.ts';
import { reduceStep } from './reduce.ts';
import { cutKey } from './key.ts';
import { resolve } from './resolve.ts';
import { loaded, runBatch, batchesFolder, startName } from './batch.ts';
import type { Models } from './models.ts';
import { secondsOf } from './spans.ts';
import type { Services, ActivityHandle } from './services.ts';
import type { Output } from '../schemas/store.ts';

/** What the batches of one step share while they run. */
interface UnderWay {
  batches: number;
  readonly flow: Flow;
  readonly params: Promise<object>;
  readonly earlier: Earlier;
  readonly others: Map<string, PeerOutcomes>;
  readonly bounds: Map<string, LimitWatcher>;
}

const entry = (output: Output): LedgerEntry => ({ result: output.result, stepKey: output.stepKey, cached: false });

/** The work itself, without Temporal: what the in-memory `Run` calls directly. */
export function stepsOf(services: Services) {
  const { store } = services;
  const resolved = async (call: StepCall, context: StepContext) => {
    await services.check(context);
    const registry = await services.registry(context.modules);
    return { registry, step: await resolve(call, context, registry, services.machine) };
  };
  const steps = new Map<string, UnderWay>();
  return {
    open: (call: StepCall, context: StepContext): Promise<StepLookup> => openStep(services, call, context),

    /** `underWay` is called once no record of the batch waits any more. */
    async batch(
      { call, context, work, batch }: BatchInput,
      models: Models,
      { signal, heartbeat }: ActivityHandle,
      underWay = () => {},
    ): Promise<BatchTotals> {
      if (models.serverStatus) heartbeat(models.serverStatus);
      const { registry, step } = await resolved(call, context);
      const from = batch * work.batchSize;
      const to = Math.min(from + work.batchSize, work.candidates);
      const asked = answering(step, registry);
      const { stepKey, params } = asked;
      const name = join(batchesFolder(store, stepKey), startName(work));
      const shared = steps.get(name) ?? {
        batches: 0,
        flow: new Flow(models.concurrency),
        params: loaded(params, store),
        earlier: new Earlier(batchesFolder(store, stepKey), startName(work)),
        others: new Map(),
        bounds: new Map(),
      };
      steps.set(name, shared);
      shared.batches++;
      try {
        return await runBatch({
          store,
          registry,
          resolved: asked,
          params: await shared.params,
          seed: context.seed,
          over: work.over,
          skip: work.skip,
          build: work.build,
          batch,
          from,
          to,
          limits: work.limits,
          models,
          flow: shared.flow,
          earlier: shared.earlier,
          others: shared.others,
          bounds: shared.bounds,
          underWay,
          signal,
        });
      } finally {
        if (--shared.batches === 0) steps.delete(name);
      }
    },

    /** Joins the batches; for an evaluation, measures the answers. */
    async commit(call: StepCall, context: StepContext, work: MapWork, { batches, spent }: StageEnd): Promise<LedgerEntry> {
      const { registry, step } = await resolved(call, context);
      const cut = spent !== null;
      const known = await store.output(cut ? cutKey(step) : step.stepKey);
      if (known && (await store.has(known.result))) return entry(known);
      if (call.verb === 'map') {
        const { over, skip, build, until, limits } = work;
        // Which records are left out by a quorum, or by what is spent of tokens, attempts and minutes, is a matter of speed.
        const timed = (limits?.quorum ?? null) !== null || (cut && spent.limit !== 'candidates');
        const determinism = timed ? 'timing' : step.determinism;
        return entry(await commitMap(store, step, { over, skip, build, batches: batches, until, cut, determinism }));
      }
      const settled = new Map<string, Done>();
      const cost = { requests: 0, tokens: 0, attempts: 0 };
      const spans: Span[] = [];
      for (let batch = 0; batch < batches; batch++) {
        const { totals, done } = await readBatch(store, step, work, batch);
        cost.requests += totals.requests;
        cost.tokens += totals.tokens;
        cost.attempts += totals.attempts;
        spans.push(...totals.spans);
        for (const one of done) settled.set(one.id, one);
      }
      const output = await measureModel(store, registry, step, work.over, settled, { ...cost, seconds: secondsOf(spans) });
      await store.clearWork(step.stepKey);
      return entry(output);
    },

    /** Before the first record of a step that asks external models. */
    async canary(call: StepCall, context: StepContext, beat: ActivityHandle): Promise<void> {
      const { registry, step } = await resolved(call, context);
      await checkExternals(services, step, registry, context, beat);
    },

    /** What a step gave that was done before. */
    async known(call: StepCall, context: StepContext): Promise<LedgerEntry | undefined> {
      return lookUp(services, (await resolved(call, context)).step);
    },

    /** A reducer, a source, a model brought in, the numbers of a dataset: looked up, or done here. */
    async compute(call: StepCall, context: StepContext, beat: ActivityHandle): Promise<LedgerEntry> {
      const { registry, step } = await resolved(call, context);
      const known = await lookUp(services, step);
      if (known) return known;
      await checkRoom(services);
      if (call.operation === 'model:external') return entry(await importExternal(services, step, context, beat));
      if (call.verb === 'evaluate') return entry(await measureData(store, registry, step));
      return entry(await reduceStep({ store, registry, resolved: step, seed: context.seed, signal: beat.signal }));
    },
  };
}
