/** All that is done for a step but what takes a device group. Without Temporal: activities call it, threads do, and tests. */
import { join } from 'node:path';
import { Flow } from '../inference/flow.ts';
import type { Others } from '../inference/limiter.ts';
import type { Call } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { Bounds } from './bounds.ts';
import { bringIn, checkExternals } from './canary.ts';
import { commitMap } from './commit.ts';
import { asking, measureData, measureModel } from './evaluate.ts';
import { checkRoom, lookUp, openStep } from './open.ts';
import type { MapWork, Opened, StageEnd, SliceTotals, StepContext, Span, ShardInput } from '../schemas/steps.ts';
import { readSlice } from './joined.ts';
import { Earlier, type Done } from './journal.ts';
import { reduceStep } from './reduce.ts';
import { cutKey, resolve } from './resolve.ts';
import { loaded, runSlice, slicesOf, startName } from './slice.ts';
import type { Models } from './models.ts';
import { secondsOf } from './spans.ts';
import type { Services, Beat } from './services.ts';
import type { Output } from '../schemas/store.ts';

/** What the shards of one step share while they run. */
interface UnderWay {
  shards: number;
  readonly flow: Flow;
  readonly params: Promise<object>;
  readonly earlier: Earlier;
  readonly others: Map<string, Others>;
  readonly bounds: Map<string, Bounds>;
}

const entry = (output: Output): LedgerEntry => ({ result: output.result, stepKey: output.stepKey, memoised: false });

/** The work itself, without Temporal: what the in-memory `Run` calls directly. */
export function stepsOf(services: Services) {
  const { store } = services;
  const resolved = async (call: Call, context: StepContext) => {
    await services.check(context);
    const registry = await services.registry(context.modules);
    return { registry, step: await resolve(call, context, registry, services.machine) };
  };
  const steps = new Map<string, UnderWay>();
  return {
    open: (call: Call, context: StepContext): Promise<Opened> => openStep(services, call, context),

    /** `underWay` is called once no record of the shard waits any more. */
    async shard(
      { call, context, work, slice }: ShardInput,
      models: Models,
      { signal, tell }: Beat,
      underWay = () => {},
    ): Promise<SliceTotals> {
      if (models.told) tell(models.told);
      const { registry, step } = await resolved(call, context);
      const from = slice * work.sliceSize;
      const to = Math.min(from + work.sliceSize, work.candidates);
      const asked = asking(step, registry);
      const { stepKey, params } = asked;
      const name = join(slicesOf(store, stepKey), startName(work));
      const shared = steps.get(name) ?? {
        shards: 0,
        flow: new Flow(models.concurrency),
        params: loaded(params, store),
        earlier: new Earlier(slicesOf(store, stepKey), startName(work)),
        others: new Map(),
        bounds: new Map(),
      };
      steps.set(name, shared);
      shared.shards++;
      try {
        return await runSlice({
          store,
          registry,
          resolved: asked,
          params: await shared.params,
          seed: context.seed,
          over: work.over,
          skip: work.skip,
          build: work.build,
          slice,
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
        if (--shared.shards === 0) steps.delete(name);
      }
    },

    /** Joins the slices; for an evaluation, measures the answers. */
    async commit(call: Call, context: StepContext, work: MapWork, { slices, spent }: StageEnd): Promise<LedgerEntry> {
      const { registry, step } = await resolved(call, context);
      const cut = spent !== null;
      const known = await store.output(cut ? cutKey(step) : step.stepKey);
      if (known && (await store.has(known.result))) return entry(known);
      if (call.verb === 'map') {
        const { over, skip, build, until, limits } = work;
        // Which records are left out by a quorum, or by what is spent of tokens, attempts and minutes, is a matter of speed.
        const timed = (limits?.quorum ?? null) !== null || (cut && spent.limit !== 'candidates');
        const determinism = timed ? 'timing' : step.determinism;
        return entry(await commitMap(store, step, { over, skip, build, slices, until, cut, determinism }));
      }
      const settled = new Map<string, Done>();
      const cost = { requests: 0, tokens: 0, attempts: 0 };
      const spans: Span[] = [];
      for (let slice = 0; slice < slices; slice++) {
        const { totals, done } = await readSlice(store, step, work, slice);
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
    async canary(call: Call, context: StepContext, beat: Beat): Promise<void> {
      const { registry, step } = await resolved(call, context);
      await checkExternals(services, step, registry, context, beat);
    },

    /** What a step gave that was done before. */
    async known(call: Call, context: StepContext): Promise<LedgerEntry | undefined> {
      return lookUp(services, (await resolved(call, context)).step);
    },

    /** A reducer, a source, a model brought in, the numbers of a dataset: looked up, or done here. */
    async compute(call: Call, context: StepContext, beat: Beat): Promise<LedgerEntry> {
      const { registry, step } = await resolved(call, context);
      const known = await lookUp(services, step);
      if (known) return known;
      await checkRoom(services);
      if (call.what === 'model:external') return entry(await bringIn(services, step, context, beat));
      if (call.verb === 'evaluate') return entry(await measureData(store, registry, step));
      return entry(await reduceStep({ store, registry, resolved: step, seed: context.seed, signal: beat.signal }));
    },
  };
}
