/** Starts the workflow of a sweep, and reads how its experiments stand. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { queues, workflowId } from '../schemas/names.ts';
import type { SweepInput, SweepRecord } from '../schemas/sweep.ts';
import type { Store } from '../store/store.ts';
import { putSweep, sweepOf } from '../store/sweeps.ts';
import type { Temporal } from '../host/connect.ts';
import { currentProgress } from './current.ts';
import { readOrRestore } from './restore.ts';
import { startOptions } from './start.ts';
import type { Sweep } from './sweep.ts';
import { deviceSeconds } from './cost.ts';
import { sweepView, type SweepView } from './sweep-table.ts';

/** Characters. Temporal takes at most 2 MB as the input of a workflow. */
const MAX_INPUT = 1_500_000;

/**
 * Starts the sweep, or attaches to the one that runs. `begin` writes the records of those that start. Throws `NameInUse` if a sweep of this
 * name runs with other experiments.
 */
export async function startSweep(
  client: Client,
  store: Store,
  { name, members }: Sweep,
  completed: ReadonlySet<string>,
  begin: () => Promise<void>,
): Promise<'started' | 'attached'> {
  const id = workflowId.sweep(store.id, name);
  const record: SweepRecord = {
    name,
    workflowId: id,
    members: members.map(({ experiment, values, seed }) => ({ name: experiment.bound.name, values, seed })),
  };
  if (await isRunning(client, id)) {
    const before = await sweepOf(store, name);
    const names = (of: SweepRecord | undefined) => of?.members.map((member) => member.name).join();
    if (names(before) === names(record)) return 'attached';
    throw new BackspinError(
      'NameInUse',
      `The sweep ${name} runs with other experiments: wait for its end, or \`backspin cancel ${name}\`.`,
    );
  }
  const input: SweepInput = {
    store: store.id,
    name,
    members: record.members.map((member) => ({ name: member.name, workflowId: workflowId.experiment(store.id, member.name) })),
    starts: members.filter(({ experiment }) => !completed.has(experiment.bound.name)).map((member) => childOptions(store, member)),
  };
  if (JSON.stringify(input).length > MAX_INPUT)
    throw new BackspinError(
      'ConfigError',
      `The settings of the ${members.length} experiments of ${name} are more than the start of a workflow can hold: make several sweeps.`,
    );
  await begin();
  await putSweep(store, record);
  await client.workflow.start('sweep', {
    workflowId: id,
    taskQueue: queues.orchestrator(store.id),
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `sweep ${name}: ${members.length} experiments`,
  });
  return 'started';
}

function childOptions(store: Store, { experiment: { bound, digest } }: Sweep['members'][number]): object {
  const options = startOptions({ store: store.id, config: bound, configDigest: digest, parent: null, pins: {} });
  const { workflowIdConflictPolicy: _, ...child } = options;
  return child;
}

async function isRunning(client: Client, id: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** How the experiments stand: over Temporal, or as the store has them. */
export async function currentSweep(
  store: Store,
  sweep: SweepRecord,
  temporal: Temporal | undefined,
  why: string | null,
): Promise<SweepView> {
  const starts = temporal !== undefined && (await isRunning(temporal.client, sweep.workflowId));
  const records: ExperimentRecord[] = [];
  for (const { name } of sweep.members) {
    const record = await readOrRestore(store, name, temporal);
    const progress = record && (await currentProgress(temporal, why, record));
    if (progress && !(progress.gone && starts)) records.push(progress.record); // else it is about to start
  }
  const devices = records.map(async (one) => [one.name, await deviceSeconds(store, one)] as const);
  return sweepView(sweep, records, new Map(await Promise.all(devices)));
}
