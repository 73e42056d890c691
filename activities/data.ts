/** The activities of a data worker. */
import { join } from 'node:path';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Flow } from '../inference/flow.ts';
import { Places, type Others } from '../inference/limiter.ts';
import { embeds, type Call } from '../schemas/call.ts';
import type { DataActivities } from '../schemas/activities.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { Bounds } from './bounds.ts';
import { bringIn, checkExternals } from './canary.ts';
import { commitMap } from './commit.ts';
import { asking, measureData, measureModel } from './evaluate.ts';
import { externalsOf, withOwn } from './external.ts';
import { begun, noted } from './noted.ts';
import { checkRoom, lookUp, openStep } from './open.ts';
import type { MapWork, Opened, StageEnd, SliceTotals, StepContext, Span, ShardInput } from '../schemas/steps.ts';
import { readSlice } from './joined.ts';
import { Earlier, type Done } from './journal.ts';
import { ownerOf } from './others.ts';
import { isPolled } from './presence.ts';
import { recordedSteps } from './recorded.ts';
import { reduceStep } from './reduce.ts';
import { changedImports } from './reread.ts';
import { castOf, cutKey, resolve } from './resolve.ts';
import { loaded, runSlice, slicesOf, startName, type Models } from './slice.ts';
import { secondsOf } from './spans.ts';
import type { Services } from './services.ts';
import type { Output } from '../schemas/store.ts';
import type { Threads } from './threads.ts';
import { activity, type Beat } from './wrap.ts';

/** Milliseconds between two looks, at first and at last: half as much again each time. */
const [LOOK_AFTER, LOOK_EVERY] = [2_000, 30_000];
/** What is waited for has not come: the attempt fails, and the next looks again. So a wait of days leaves nothing in a history. */
function notYet(message: string): ApplicationFailure {
  const { attempt } = Context.current().info;
  const nextRetryDelay = Math.min(LOOK_AFTER * 1.5 ** (attempt - 1), LOOK_EVERY);
  return ApplicationFailure.create({ type: 'NotYet', message: message.slice(0, 2000), nextRetryDelay });
}

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

/** Shards that a data worker runs at once: of operators that ask no model of its own. */
const SHARDS = 4;

/** `threads` take what may be long, or it is done here. */
export function dataActivities(services: Services, threads?: Threads): DataActivities {
  const steps = stepsOf(services);
  const places = new Places((taken) => taken < SHARDS);
  const compute = async (call: Call, context: StepContext, beat: Beat): Promise<LedgerEntry> => {
    if (!threads || call.what === 'model:external') return steps.compute(call, context, beat);
    return (await steps.known(call, context)) ?? threads.run({ verb: 'compute', args: [call, context] }, beat.signal);
  };
  const commit = (call: Call, context: StepContext, work: MapWork, end: StageEnd, { signal }: Beat): Promise<LedgerEntry> =>
    threads ? threads.run({ verb: 'commit', args: [call, context, work, end] }, signal) : steps.commit(call, context, work, end);
  return {
    open: (call, context) =>
      activity(async () => {
        const opened = await steps.open(call, context);
        await (opened.hit ? noted(services, call, context, opened.hit) : begun(services, call, context, opened.stepKey));
        const pool = opened.hit
          ? undefined
          : call.verb === 'train' || embeds(call) || opened.work?.batch
            ? context.training.pool
            : opened.work?.lease?.serving.pool;
        const unpolled = pool !== undefined && !(await isPolled(services.store.id, pool));
        return { ...opened, unpolled: unpolled ? pool : null };
      }),
    polled: (pool) =>
      activity(async () => {
        if (!(await isPolled(services.store.id, pool))) throw notYet(`No worker polls the pool ${pool}.`);
      }),
    shard: (input) =>
      activity(async (beat) => {
        const run = () => steps.shard(input, withOwn(externalsOf(services, castOf(input.call), input.context)), beat);
        return input.work.external ? run() : places.run(beat.signal, run); // those that a server holds up keep no other back
      }),
    canary: (call, context) => activity((beat) => steps.canary(call, context, beat)),
    commit: (call, context, work, end) =>
      activity(async (beat) => noted(services, call, context, await commit(call, context, work, end, beat))),
    compute: (call, context) => activity(async (beat) => noted(services, call, context, await compute(call, context, beat))),
    otherThan: (known, wanted) =>
      activity(async () => {
        const owner = await ownerOf(wanted).catch((error: unknown) => {
          throw notYet((error as Error).message); // of the server, which may be away
        });
        if (owner && owner.experiment === known?.experiment && owner.path === known.path)
          throw notYet(`${owner.experiment} computes it as ${owner.path}.`);
        return owner;
      }),
    reread: (imported, context) => activity(() => changedImports(services, imported, context)),
    room: () =>
      activity(() =>
        checkRoom(services).catch((error: unknown) => {
          throw notYet((error as Error).message);
        }),
      ),
    record: (news) => activity(() => services.store.addToExperiment(news)),
    recordPatiently: (news) =>
      activity(() =>
        services.store.addToExperiment(news).catch((error: unknown) => {
          throw notYet((error as Error).message);
        }),
      ),
    recorded: (name, since, from) => activity(() => recordedSteps(services.store, name, since, from)),
  };
}
