/**
 * The root of an experiment. Every run starts the recipe from the top; the ledger, which continue-as-new carries, returns the results of
 * finished steps. The recipe says which steps there are, `executor.ts` how a step is carried out.
 */
import { CancellationScope, allHandlersFinished, condition, continueAsNew, isCancellation } from '@temporalio/workflow';
import type { Result } from '../schemas/call.ts';
import { contextOf, runRecipe } from '../recipe/inputs.ts';
import { RecipeRuntime } from '../recipe/runtime.ts';
import type { ExperimentInput } from '../schemas/messages.ts';
import { AttentionControl } from './attention.ts';
import { ConfigEdits } from './config-edits.ts';
import { Control } from './control.ts';
import { LedgerEngine } from './engine.ts';
import { causeOf, failureOf } from './errors.ts';
import { StepExecutor } from './executor.ts';
import { Ledger } from './ledger.ts';
import { Notifier } from './notifier.ts';
import { recipes } from './recipes/index.ts';
import { keepRecord, loadLedger } from './record.ts';
import { RunningSteps } from './running-steps.ts';
import { DrainLatch } from './scopes.ts';
import { ExperimentState } from './state.ts';
import { StepSupervisor } from './step-supervisor.ts';
import { StepTable } from './step-table.ts';
import { listen } from './updates.ts';
import { publishState } from './view.ts';

/** The root continues as new after this many events, at the first quiet moment. With `MOST` of `engine.ts` no run has more than 4,096.
 *  Events from before the recipe came to where the last run ended do not count. */
const HISTORY = 1500;

export async function experiment(input: ExperimentInput): Promise<Result> {
  const { config } = input;
  const parts = assemble(input);
  const { state, ledger, recorder, latch, engine, notifier } = parts;
  try {
    if (input.carried?.recorded) await loadLedger(input, input.carried.recorded, ledger);
    const recipe = runRecipe(new RecipeRuntime(engine), recipes[config.recipe]!, config) as Promise<Result>;
    recipe.catch(() => {});
    await Promise.race([recipe, engine.failure, CancellationScope.nonCancellable(() => condition(() => latch.drained))]);
    if (latch.drained) await startNextRun(parts);
    const result = await recipe;
    state.finish({ state: 'completed', result, failure: null });
    await recorder.record();
    await notifier.ended('completed', null);
    return result;
  } catch (error) {
    if ((error as Error | null)?.name === 'ContinueAsNew') throw error;
    await CancellationScope.nonCancellable(() => condition(() => latch.open === 0)); // steps in flight end first
    const end = isCancellation(error)
      ? ({ state: 'cancelled', failure: null } as const)
      : ({ state: 'failed', failure: causeOf(error).message } as const);
    state.finish({ ...end, result: null });
    await recorder.record();
    await notifier.ended(end.state, end.failure);
    throw failureOf(error);
  }
}

function assemble(input: ExperimentInput) {
  const { config, store, historyLimit = HISTORY } = input;
  const ledger = new Ledger(input);
  const latch = new DrainLatch();
  const state = new ExperimentState(input.carried);
  const table = new StepTable();
  const running = new RunningSteps(state, table);
  const edits = new ConfigEdits(input);
  listen(new Control(config, state, table, running));
  publishState(config, state, table);
  const recorder = keepRecord(input, { state, table, ledger, edits });
  const notifier = new Notifier(store, config, state);
  const attention = new AttentionControl(state, table, running, {
    changed: () => void recorder.record(),
    stands: (waiting) => notifier.stands(waiting),
    answered: (path) => notifier.answered(path),
    async applyEdits(edited) {
      const kept = await edits.apply(edited, (fingerprint) => ledger.steps[fingerprint]?.stepKey);
      if (!kept) return false;
      ledger.forget(kept);
      void recorder.record();
      return true;
    },
  });
  const supervisor = new StepSupervisor(config, state, table, running, attention);
  const executor = new StepExecutor(store, contextOf(config, input.configDigest), supervisor);
  const engine = new LedgerEngine({ ledger, edits, recorder, running, supervisor, executor, latch, historyLimit });
  return { state, table, ledger, edits, recorder, latch, engine, notifier };
}

/** Continues as new, once the store has what the next run cannot carry. */
async function startNextRun({ state, table, ledger, edits, recorder, notifier }: ReturnType<typeof assemble>): Promise<never> {
  await condition(allHandlersFinished);
  await notifier.idle();
  await recorder.idle();
  const isLarge = ledger.large;
  if (isLarge) {
    table.forget((fingerprint) => fingerprint in ledger.steps);
    void recorder.record();
    await recorder.idle();
  }
  const kept = isLarge ? recorder.complete : undefined;
  return continueAsNew<typeof experiment>({ ...edits.next, carried: { ...ledger.carried(kept), ...state.carried() } });
}
