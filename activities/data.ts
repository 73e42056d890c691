/** The activities of a data worker. */
import type { Call } from '../recipe/call.ts';
import type { ExperimentRecord, LedgerEntry } from '../schemas/experiment.ts';
import { bringIn, checkExternals } from './canary.ts';
import { commitMap, readSlice } from './commit.ts';
import { asking, measureData, measureModel } from './evaluate.ts';
import { externalsOf, withOwn } from './external.ts';
import { lookUp, openStep, type MapWork, type Opened } from './open.ts';
import { reduceStep } from './reduce.ts';
import { castOf, resolve, type Resolved } from './resolve.ts';
import { runSlice, type Models, type SliceTotals } from './slice.ts';
import type { Services, StepContext } from './services.ts';
import type { Output } from '../schemas/store.ts';
import { activity, type Beat } from './wrap.ts';

export interface ShardInput {
  readonly call: Call;
  readonly context: StepContext;
  readonly work: MapWork;
  readonly slice: number;
}

/** What is left of a chain whose first operators were done before. */
const rest = (resolved: Resolved, skip: number): Resolved => ({ ...resolved, chain: resolved.chain.slice(skip) });

const entry = (output: Output): LedgerEntry => ({ result: output.result, stepKey: output.stepKey, memoised: false });

/** The work itself, without Temporal: what the in-memory `Run` calls directly. */
export function stepsOf(services: Services) {
  const { store } = services;
  const resolved = async (call: Call, context: StepContext) => {
    const registry = await services.registry(context.modules);
    return { registry, step: await resolve(call, context, registry) };
  };
  return {
    open: (call: Call, context: StepContext): Promise<Opened> => openStep(services, call, context),

    async shard({ call, context, work, slice }: ShardInput, models: Models, { signal, tell }: Beat): Promise<SliceTotals> {
      if (models.told) tell(models.told);
      const { registry, step } = await resolved(call, context);
      const from = slice * work.sliceSize;
      const to = Math.min(from + work.sliceSize, work.over.rows);
      return runSlice({
        store,
        registry,
        resolved: rest(asking(step, registry), work.skip),
        seed: context.seed,
        over: work.over,
        slice,
        from,
        to,
        models,
        signal,
      });
    },

    /** Joins the slices; for an evaluation, measures the answers. */
    async commit(call: Call, context: StepContext, work: MapWork, slices: number): Promise<LedgerEntry> {
      const { registry, step } = await resolved(call, context);
      const known = await store.output(step.stepKey);
      if (known && (await store.has(known.result))) return entry(known);
      if (call.verb === 'map') {
        const before = work.skip > 0 ? await store.output(step.chain[work.skip - 1]!.stepKey) : undefined;
        return entry(await commitMap(store, rest(step, work.skip), work.over, slices, work.until, before));
      }
      const answers = new Map<string, unknown>();
      const spent = { requests: 0, tokens: 0, seconds: 0 };
      for (let slice = 0; slice < slices; slice++) {
        const { totals, done } = await readSlice(store, step, slice);
        spent.requests += totals.requests;
        spent.tokens += totals.tokens;
        spent.seconds += totals.seconds;
        for (const one of done) if (one.kept[0]?.[0]) answers.set(one.id, one.kept[0][0].value);
      }
      const output = await measureModel(store, registry, step, work.over, answers, spent);
      await store.clearWork(step.stepKey);
      return entry(output);
    },

    /** Before the first record of a step that asks external models. */
    async canary(call: Call, context: StepContext, beat: Beat): Promise<void> {
      const { registry, step } = await resolved(call, context);
      await checkExternals(services, step, registry, context, beat);
    },

    /** A reducer, a source, a model brought in, the numbers of a dataset: looked up, or done here. */
    async compute(call: Call, context: StepContext, beat: Beat): Promise<LedgerEntry> {
      const { registry, step } = await resolved(call, context);
      const known = await lookUp(services, step);
      if (known) return { result: known, stepKey: step.stepKey, memoised: true };
      if (call.what === 'model:external') return entry(await bringIn(services, step, context, beat));
      if (call.verb === 'evaluate') return entry(await measureData(store, registry, step));
      return entry(await reduceStep({ store, registry, resolved: step, seed: context.seed, signal: beat.signal }));
    },
  };
}

export function dataActivities(services: Services) {
  const steps = stepsOf(services);
  return {
    open: (call: Call, context: StepContext): Promise<Opened> => activity(() => steps.open(call, context)),
    shard: (input: ShardInput): Promise<SliceTotals> =>
      activity((beat) => steps.shard(input, withOwn(externalsOf(services, castOf(input.call), input.context)), beat)),
    canary: (call: Call, context: StepContext): Promise<void> => activity((beat) => steps.canary(call, context, beat)),
    commit: (call: Call, context: StepContext, work: MapWork, slices: number): Promise<LedgerEntry> =>
      activity(() => steps.commit(call, context, work, slices)),
    compute: (call: Call, context: StepContext): Promise<LedgerEntry> => activity((beat) => steps.compute(call, context, beat)),
    /** Waits a while for a step that another experiment computes; null when it has not ended yet. */
    lookUpOutput: (stepKey: string): Promise<LedgerEntry | null> =>
      activity(async () => {
        const output = await services.store.output(stepKey);
        return output ? { ...entry(output), memoised: true } : null;
      }),
    record: (record: ExperimentRecord): Promise<void> => activity(() => services.store.putExperiment(record)),
  };
}
export type DataActivities = ReturnType<typeof dataActivities>;
