/** `backspin cancel NAME`: requests cancellation of an experiment; its finished steps stay in the store. Closes the record if the
 *  workflow has ended without updating it, or does not exist. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';
import { connect, type Temporal } from '../host/connect.ts';
import { requireOpen, explain } from '../experiments/send.ts';
import { openHome } from '../host/home-store.ts';
import { sweepOf } from '../store/sweeps.ts';
import { experimentOf } from '../experiments/record.ts';
import { withEnd, progressOf } from '../experiments/progress.ts';

export async function run(name: string): Promise<void> {
  const store = await openHome();
  const sweep = await sweepOf(store, name);
  if (sweep) return (await import('./sweep.ts')).cancelSweep(sweep);
  const record = await experimentOf(store, name);
  const temporal = await connect();
  try {
    requireOpen(record, temporal);
    await temporal.client.workflow.getHandle(record.workflowId).cancel();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return await close(store, temporal, record);
    throw explain(error, name, temporal);
  } finally {
    await temporal.close();
  }
  console.log(
    `${name} is being cancelled: \`backspin status ${name}\` shows when it has ended. Launching it again takes what it finished from the store.`,
  );
}

async function close(store: Store, temporal: Temporal, record: ExperimentRecord): Promise<void> {
  const { record: now, gone } = await progressOf(temporal, record);
  const closed = gone ? withEnd(record, { state: 'cancelled', failure: null }) : now;
  await store.putExperiment({ ...closed, updated: new Date().toISOString() });
  const why = gone
    ? `the Temporal server at ${temporal.address} has no workflow of it`
    : `it had ended (${closed.failure ?? closed.state})`;
  console.log(`${record.name} is closed as ${closed.state}: ${why}. Launching it again takes what it finished from the store.`);
}
