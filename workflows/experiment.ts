/**
 * The root of an experiment. It runs the recipe from the top in every run; finished steps return from the ledger that
 * continue-as-new carries. It decides nothing itself: recipes say what, `run.ts` how.
 */
import {
  ApplicationFailure,
  CancellationScope,
  allHandlersFinished,
  condition,
  continueAsNew,
  isCancellation,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { fingerprint, refsIn, type Call, type Result } from '../recipe/call.ts';
import { externalModels, runRecipe } from '../recipe/materials.ts';
import { RecipeError, Verbs, type Engine } from '../recipe/run.ts';
import type { ExperimentRecord, LedgerEntry } from '../schemas/experiment.ts';
import { queues } from '../schemas/names.ts';
import { Control, type Carrying } from './control.ts';
import { FromTheTop } from './errors.ts';
import { progress, type ExperimentInput } from './messages.ts';
import { data } from './options.ts';
import { recipes } from './recipes/index.ts';
import { Performer } from './run.ts';
import { Gate, parked } from './scopes.ts';

/** Events after which the root continues as new at the first quiet moment; past five times as many it makes one. */
const HISTORY = 4096;

export async function experiment(input: ExperimentInput): Promise<Result> {
  const { config, store } = input;
  const ledger: Record<string, LedgerEntry> = { ...input.carried?.ledger };
  const decisions: Record<string, unknown> = { ...input.carried?.decisions };
  const healed = new Set(input.carried?.healed);
  const context = {
    experiment: config.name,
    configDigest: input.configDigest,
    seed: config.seed,
    modules: config.modules,
    serving: config.serving,
    roles: config.roles,
    training: config.training,
    external: externalModels(config),
  };
  const gate = new Gate();
  const control = new Control(input);
  const performer = new Performer(store, context, control);

  const snapshot = (): ExperimentRecord => ({
    name: config.name,
    recipe: config.recipe,
    workflowId: workflowInfo().workflowId,
    runId: workflowInfo().runId,
    config,
    configDigest: input.configDigest,
    parent: input.parent,
    ...control.view(),
    ledger,
    decisions,
    updated: new Date().toISOString(),
  });
  setHandler(progress, snapshot);
  let recording: Promise<void> | undefined;
  let stale = false;
  /** Writes the record to the store; calls that come while it is written are one more writing. */
  const record = (): Promise<void> => {
    stale = true;
    recording ??= CancellationScope.nonCancellable(async () => {
      const name = { id: 'record', summary: 'the state of the experiment', queue: queues.data(store), experiment: config.name };
      for (; stale;) {
        stale = false;
        await data(name).record(snapshot());
      }
      recording = undefined;
    });
    return recording;
  };

  const long = () => {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    const limit = input.historyLimit ?? HISTORY;
    return historyLength > 5 * limit || (gate.open === 0 && (historyLength > limit || continueAsNewSuggested));
  };
  /** What the parent of a fork gave for this step, or what this experiment did. */
  const known = (call: Call, print: string): LedgerEntry | undefined => {
    const pin = input.pins[call.path];
    if (pin && pin.inputs.join() === [...new Set(refsIn(call.inputs).map((ref) => ref.digest))].sort().join())
      return { ...pin.entry, memoised: true };
    return ledger[print];
  };
  /** An input is gone from the store: what gave it is asked for again, from the top. */
  const heal = (call: Call, print: string): boolean => {
    if (healed.has(print)) return false;
    healed.add(print);
    const wanted = new Set(refsIn(call.inputs).map((ref) => ref.digest));
    for (const [key, entry] of Object.entries(ledger)) if (refsIn(entry.result).some((ref) => wanted.has(ref.digest))) delete ledger[key];
    return true;
  };

  /** Where a person undid the round, or an input is made again, the next run asks anew. */
  const fromTheTop = (error: unknown): Promise<never> => {
    if (!(error instanceof FromTheTop)) return Promise.reject(error);
    gate.close();
    return parked;
  };

  const engine: Engine = {
    async perform(call) {
      const print = fingerprint(call);
      const before = known(call, print);
      if (before) {
        control.done(call, before);
        ledger[print] = before;
        return before.result;
      }
      if (long()) gate.close();
      try {
        const carrying: Carrying = {
          perform: () => performer.perform(call),
          room: () => performer.room(call),
          heal: (type) => type === 'ArtifactMissing' && heal(call, print),
        };
        const entry = await gate.through(() => control.through(call, carrying));
        ledger[print] = entry;
        return entry.result;
      } catch (error) {
        return fromTheTop(error);
      }
    },
    shared(call, result) {
      result.then(
        () => control.done(call, { ...ledger[fingerprint(call)]!, memoised: true }),
        () => {}, // told under the name that it is performed by
      );
    },
    async decide(path, _reports, rule) {
      if (!(path in decisions)) decisions[path] = rule();
      return decisions[path];
    },
    gate: (of, at) => control.gate(at, of, record).catch(fromTheTop),
    async round(number, moment) {
      if (moment === 'begin') return control.beginRound(number);
      await record();
      return true;
    },
  };

  const verbs = new Verbs(engine);
  const recipe = runRecipe(verbs, recipes[config.recipe]!, config) as Promise<Result>;
  recipe.catch(() => {});

  control.onAttention = () => void record();
  try {
    await Promise.race([recipe, CancellationScope.nonCancellable(() => condition(() => gate.drained))]);
    if (gate.drained) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof experiment>({ ...input, carried: { ledger, decisions, healed: [...healed], ...control.carried() } });
    }
    const result = await recipe;
    control.end('completed', result);
    await record();
    return result;
  } catch (error) {
    if ((error as Error).name === 'ContinueAsNew') throw error;
    await CancellationScope.nonCancellable(() => condition(() => gate.open === 0)); // what was started is over first
    control.end(isCancellation(error) ? 'cancelled' : 'failed', null, error);
    await record();
    throw error instanceof RecipeError ? ApplicationFailure.nonRetryable(error.message, 'RecipeError') : error;
  }
}
