/** Runs a throw-away experiment to its end, quietly, and removes it. */
import { setTimeout as wait } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { connect } from '../host/connect.ts';
import { isClosed, type ExperimentRecord, type Step } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { workflowId } from '../schemas/names.ts';
import type { Output } from '../schemas/store.ts';
import type { Experiment } from '../experiments/config.ts';
import { progressOf } from '../experiments/progress.ts';
import { startExperiment } from '../experiments/start.ts';
import { TRIAL } from '../experiments/trial.ts';
import { waitText } from '../experiments/waits.ts';
import { contextOf } from '../recipe/inputs.ts';
import { grantAll } from '../steps/grants.ts';
import type { Store } from '../store/store.ts';
import { ensureUp, newRecord } from './prepare.ts';

const EVERY = 300;
/** Milliseconds without an end after which it says what it waits for. */
const PATIENCE = 5_000;

export interface Tried {
  readonly step: Step;
  readonly output: Output;
}

/** The outputs of its steps by path, without its import steps. Throws with the reason if a step fails, or waits for a person. */
export async function runTrial(store: Store, experiment: Experiment): Promise<ReadonlyMap<string, Tried>> {
  const { bound } = experiment;
  await removeEnded(store);
  await grantAll(store, contextOf(bound));
  await ensureUp(store, console.error);
  const record = newRecord(workflowId.experiment(store.id, bound.name), experiment, { parent: null });
  const writes = { begin: () => store.putExperiment(record), undo: () => store.removeExperiment(bound.name) };
  await startExperiment(store.id, experiment, { parent: null, pins: {} }, writes);
  const temporal = await connect();
  const cancel = async () => {
    try {
      await temporal.client.workflow.getHandle(record.workflowId).cancel();
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  };
  const interrupted = () => void cancel().finally(() => process.exit(130));
  process.once('SIGINT', interrupted);
  try {
    const ended = await end(store, record, temporal);
    if (ended.state !== 'completed') throw new BackspinError('ConfigError', reasonOf(ended));
    return await outputsOf(store, ended);
  } finally {
    process.off('SIGINT', interrupted);
    const now = (await progressOf(temporal, (await store.experiment(bound.name).catch(() => undefined)) ?? record)).record;
    if (isClosed(now)) await store.removeExperiment(bound.name);
    else await cancel();
    await temporal.close();
  }
}

async function end(store: Store, begun: ExperimentRecord, temporal: Awaited<ReturnType<typeof connect>>): Promise<ExperimentRecord> {
  const since = Date.now();
  let said = '';
  for (;;) {
    const { record, open, stale, waits } = await progressOf(temporal, (await store.experiment(begun.name)) ?? begun);
    if (record.state === 'attention' || (!open && stale === null)) return record;
    const waiting = [...(waits ?? [])].map(([path, one]) => `${path}: ${waitText(one).replace(/, \d[^,]*$/, '')}`).join('; ');
    if (Date.now() - since > PATIENCE && waiting !== '' && waiting !== said) console.error((said = waiting));
    await wait(EVERY);
  }
}

function reasonOf({ attention, failure, state }: ExperimentRecord): string {
  const [first] = attention;
  return first ? `Step ${first.path}: ${first.reason}` : (failure ?? `the trial is ${state}`);
}

async function outputsOf(store: Store, { steps }: ExperimentRecord): Promise<ReadonlyMap<string, Tried>> {
  const tried = new Map<string, Tried>();
  for (const step of steps) {
    const output = step.stepKey === null ? undefined : await store.output(step.stepKey);
    if (output) tried.set(step.path, { step, output });
  }
  return tried;
}

/** Removes the records of trials whose command was killed. */
async function removeEnded(store: Store): Promise<void> {
  for (const name of await store.experimentNames()) {
    if (!name.startsWith(`${TRIAL}-`)) continue;
    const record = await store.experiment(name).catch(() => undefined);
    if (record?.recipe === TRIAL && isClosed(record)) await store.removeExperiment(name);
  }
}
