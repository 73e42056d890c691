/** Finds the experiment that computes a step which others wait for, and cancels its stage if it can never get a lease. */
import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import { queues } from '../schemas/names.ts';
import type { Store } from '../store/store.ts';
import { hasPoller } from './pollers.ts';
import type { StepOwner, WantedStep } from '../schemas/steps.ts';

/** `PendingActivityState` of Temporal's protocol. */
const SCHEDULED = 1;
/** Milliseconds in which a cancelled stage usually ends. */
const ENDS_WITHIN = 10_000;
const LOOK_EVERY = 100;
/** Attempts of a workflow task after which it will not succeed without help. */
const MAX_TASK_ATTEMPTS = 3;

/** Returns the experiment that computes the step. Null if there is none: its output exists, or the caller may start it. Cancels a stage
 *  whose experiment has no lease for it and will get none; that experiment then waits for the caller's. */
export async function ownerOf({ store, stage, pool }: WantedStep): Promise<StepOwner | null> {
  const { client } = Context.current();
  const stageDescription = await describe(client, stage);
  if (!stageDescription) return null;
  const { memo = {}, raw } = stageDescription;
  const parent = raw.workflowExecutionInfo?.parentExecution?.workflowId ?? '';
  const { experiment = parent.slice(store.length + 1), path = '' } = memo as Partial<StepOwner>;
  const root = await describe(client, parent);
  if (stageDescription.status.name !== 'RUNNING') return root && willCommit(root, stage, path) ? { experiment, path } : null;
  if (root?.status.name !== 'RUNNING' || pool === null || (await hasLease(root, store, path, pool))) return { experiment, path };
  await client.workflow.getHandle(stage).cancel();
  for (const end = Date.now() + ENDS_WITHIN; Date.now() < end; await delay(LOOK_EVERY))
    if ((await describe(client, stage))?.status.name !== 'RUNNING') return null;
  return { experiment, path };
}

/** Whether a root workflow is about to commit its stage's work. It may not have processed the stage's end yet. */
function willCommit({ status, raw }: WorkflowExecutionDescription, stage: string, path: string): boolean {
  return (
    status.name === 'RUNNING' &&
    (hasWorkflowTask(raw) ||
      (raw.pendingChildren ?? []).some(({ workflowId }) => workflowId === stage) ||
      (raw.pendingActivities ?? []).some(({ activityId }) => activityId === `commit ${path}`))
  );
}
const hasWorkflowTask = ({ pendingWorkflowTask: task }: WorkflowExecutionDescription['raw']): boolean =>
  !!task && Number(task.attempt ?? 1) < MAX_TASK_ATTEMPTS;

/** Whether a root workflow holds a lease for a step, or waits for one. A waiting lease does not count if its pool has no worker and ours
 *  has one. */
async function hasLease({ raw }: WorkflowExecutionDescription, store: string, path: string, pool: string): Promise<boolean> {
  if (hasWorkflowTask(raw)) return true;
  const leases = (raw.pendingActivities ?? []).filter(
    ({ activityId }) => /^serve( \d+)? /.test(activityId ?? '') && activityId!.endsWith(` ${path}`),
  );
  if (leases.length === 0) return false;
  if (leases.some(({ state }) => state !== SCHEDULED)) return true;
  const theirs = (leases[0]!.activityOptions?.taskQueue?.name ?? '').slice(queues.pool(store, '').length);
  return theirs === pool || (await hasPoller(store, theirs)) || !(await hasPoller(store, pool));
}

/** The state of an experiment that has ended; undefined while it runs. One that ended without a word in its record has failed. */
export async function endOf(store: Store, name: string, workflowId: string): Promise<ExperimentRecord['state'] | undefined> {
  if ((await describe(Context.current().client, workflowId))?.status.name === 'RUNNING') return undefined;
  const record = await store.experiment(name); // after the look at its workflow, which writes the record before it ends
  return record && isClosed(record) ? record.state : 'failed';
}

async function describe(client: Client, workflowId: string): Promise<WorkflowExecutionDescription | undefined> {
  try {
    return await client.workflow.getHandle(workflowId).describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
