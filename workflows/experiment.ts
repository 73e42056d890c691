/**
 * The root of an experiment. It runs the recipe from the top in every run; finished steps return from the ledger that
 * continue-as-new carries. It decides nothing itself: recipes say what, `run.ts` how.
 */
import {
  CancellationScope,
  allHandlersFinished,
  condition,
  continueAsNew,
  isCancellation,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { fingerprintOf, type Result } from '../schemas/call.ts';
import { contextOf, runRecipe } from '../recipe/inputs.ts';
import { RecipeRuntime, type StepEngine } from '../recipe/runtime.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { queues } from '../schemas/names.ts';
import { Control, type StepHandlers } from './control.ts';
import { failureOf, RestartRecipe } from './errors.ts';
import { Ledger } from './ledger.ts';
import { progress, type ExperimentInput } from '../schemas/messages.ts';
import { ConfigEdits } from './config-edits.ts';
import { data } from './options.ts';
import { recipes } from './recipes/index.ts';
import { Recorder } from './recorder.ts';
import { StepExecutor } from './executor.ts';
import { DrainLatch, never } from './scopes.ts';

/** Events after which the root continues as new at the first quiet moment; past `MOST` times as many it makes one, so that no run has more
 *  than 4,096. Those of the run from the top to where the last run was do not count. */
const HISTORY = 1500;
const MOST = 2.4;
/** Attempts at writing the record before it is told that it cannot be written. */
const ATTEMPTS = 5;

export async function experiment(input: ExperimentInput): Promise<Result> {
  const { config, store, historyLimit = HISTORY } = input;
  const ledger = new Ledger(input);
  const context = contextOf(config, input.configDigest);
  const gate = new DrainLatch();
  const control = new Control(input);
  const performer = new StepExecutor(store, context, control);
  const mending = new ConfigEdits(input, (imported, now) => performer.reread(imported, now));

  const snapshot = (paths?: ReadonlySet<string>): ExperimentRecord => ({
    name: config.name,
    recipe: config.recipe,
    workflowId: workflowInfo().workflowId,
    runId: workflowInfo().runId,
    config: mending.next.config,
    configDigest: mending.next.configDigest,
    parent: input.parent,
    ...control.view(paths),
    decisions: ledger.decisions,
    updated: new Date().toISOString(),
  });
  const name = { id: 'record', summary: 'the state of the experiment', queue: queues.data(store), experiment: config.name };
  const before = input.carried?.recorded ?? null;
  const recorder = new Recorder(
    workflowInfo().runId,
    control.steps,
    before,
    (about, paths, patiently) => {
      const news = { ...snapshot(paths), ...about };
      return patiently ? data(name).recordUntilWritten(news) : data(name, ATTEMPTS).record(news);
    },
    (why) => control.unrecorded(why),
  );
  setHandler(progress, (since) => {
    const count = since && recorder.after(since);
    return count === undefined ? snapshot() : { ...snapshot(control.steps.since(count)), since: since! };
  });

  /** Events of this run when it came upon something that no run before it had done. */
  let replayed: number | undefined;
  const long = () => {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    const events = historyLength - (replayed ??= historyLength);
    if (ledger.added === 0) return false; // the next run would come no further
    return events > MOST * historyLimit || (control.idle && (events > historyLimit || continueAsNewSuggested));
  };
  const close = () => {
    gate.close();
    control.leave();
  };
  const failure = Promise.withResolvers<never>();
  /** Where a person undid the round, an input is made again, or this run ends, the next run asks anew. The recipe hears of no failure: if
   *  it does not await what failed just then, that would be a rejection that nobody handles, which fails the workflow's task for ever. */
  const ended = (error: unknown): Promise<never> => {
    if (error instanceof RestartRecipe) close();
    else failure.reject(error);
    return never;
  };

  control.takeUp = async (mended) => {
    const kept = await mending.takeUp(mended, (fingerprint) => ledger.steps[fingerprint]?.stepKey);
    if (!kept) return false;
    ledger.forget(kept);
    void recorder.record();
    return true;
  };

  /** What was added when the record was last written. */
  let recorded = 0;
  const engine: StepEngine = {
    async perform(call) {
      const fingerprint = fingerprintOf(call);
      mending.sees(call, fingerprint);
      const known = ledger.known(call, fingerprint);
      if (known) {
        control.done(call, known, ledger.isRecorded(call));
        return known.result;
      }
      if (long()) close();
      try {
        const carrying: StepHandlers = {
          perform: () => performer.perform(call),
          room: () => performer.room(call),
          invalidateMissingInputs: (type) => type === 'ArtifactMissing' && ledger.invalidateMissingInputs(call, fingerprint),
        };
        const entry = await gate.through(() => control.through(call, carrying));
        ledger.add(fingerprint, entry);
        return entry.result;
      } catch (error) {
        return ended(error);
      }
    },
    shared(call, result) {
      result.then(
        () => control.done(call, { ...ledger.steps[fingerprintOf(call)]!, cached: true }, ledger.isRecorded(call)),
        () => {}, // told under the name that it is performed by
      );
    },
    async decide(path, reports, rule) {
      try {
        return ledger.decide(path, reports, rule);
      } catch (error) {
        return ended(error);
      }
    },
    gate: (of, at) => control.gate(at, of).catch(ended),
    async round(number, moment) {
      if (moment === 'begin') return control.beginRound(number).catch(ended);
      if (ledger.added > recorded) void recorder.record(); // else the store has it, and perhaps more
      recorded = ledger.added;
      return true;
    },
  };

  /** So that the next run finds it in the store. */
  const recordAll = async () => {
    control.steps.forget((fingerprint) => fingerprint in ledger.steps);
    void recorder.record();
    await recorder.idle();
  };

  control.onAttention = () => void recorder.record();
  try {
    if (before) await ledger.load((from) => data({ ...name, id: 'recorded' }).recorded(config.name, before, from));
    const recipe = runRecipe(new RecipeRuntime(engine), recipes[config.recipe]!, config) as Promise<Result>;
    recipe.catch(() => {});
    await Promise.race([recipe, failure.promise, CancellationScope.nonCancellable(() => condition(() => gate.drained))]);
    if (gate.drained) {
      await condition(allHandlersFinished);
      await recorder.idle();
      if (ledger.large) await recordAll();
      const kept = ledger.large ? recorder.complete : undefined;
      await continueAsNew<typeof experiment>({ ...mending.next, carried: { ...ledger.carried(kept), ...control.carried() } });
    }
    const result = await recipe;
    control.end('completed', result);
    await recorder.record();
    return result;
  } catch (error) {
    if ((error as Error | null)?.name === 'ContinueAsNew') throw error;
    await CancellationScope.nonCancellable(() => condition(() => gate.open === 0)); // what was started is over first
    control.end(isCancellation(error) ? 'cancelled' : 'failed', null, error);
    await recorder.record();
    throw failureOf(error);
  }
}
