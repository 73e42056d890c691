/** A step that another experiment computes: who it is, whether it still does, and what to do about one that never will. */
import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { queues } from '../schemas/names.ts';
import { hasPoller } from './pollers.ts';
import type { StepOwner, WantedStep } from '../schemas/steps.ts';

/** Of the wire: `PENDING_ACTIVITY_STATE_SCHEDULED`. */
const SCHEDULED = 1;
/** Milliseconds in which a cancelled stage ends, mostly. */
const ENDS_WITHIN = 10_000;
const LOOK_EVERY = 100;
/** A workflow task that has failed so often will not succeed by itself. */
const STUCK = 3;

/**
 * Who computes the step; null: nobody any more, so that its output is there, or it can be begun. A stage whose experiment has no lease
 * for it, and will get none, is cancelled: its experiment then waits for ours.
 */
export async function ownerOf({ store, stage, pool }: WantedStep): Promise<StepOwner | null> {
  const { client } = Context.current();
  const own = await describe(client, stage);
  if (!own) return null;
  const { memo = {}, raw } = own;
  const parent = raw.workflowExecutionInfo?.parentExecution?.workflowId ?? '';
  const { experiment = parent.slice(store.length + 1), path = '' } = memo as Partial<StepOwner>;
  const root = await describe(client, parent);
  if (own.status.name !== 'RUNNING') return root && commits(root, stage, path) ? { experiment, path } : null;
  if (root?.status.name !== 'RUNNING' || pool === null || (await leased(root, store, path, pool))) return { experiment, path };
  await client.workflow.getHandle(stage).cancel();
  for (const end = Date.now() + ENDS_WITHIN; Date.now() < end; await delay(LOOK_EVERY))
    if ((await describe(client, stage))?.status.name !== 'RUNNING') return null;
  return { experiment, path };
}

/** Whether a root is about to commit what its stage did: it may not have heard of the end yet, or be about to think of it. */
function commits({ status, raw }: WorkflowExecutionDescription, stage: string, path: string): boolean {
  return (
    status.name === 'RUNNING' &&
    (thinks(raw) ||
      (raw.pendingChildren ?? []).some(({ workflowId }) => workflowId === stage) ||
      (raw.pendingActivities ?? []).some(({ activityId }) => activityId === `commit ${path}`))
  );
}
const thinks = ({ pendingWorkflowTask: task }: WorkflowExecutionDescription['raw']): boolean => !!task && Number(task.attempt ?? 1) < STUCK;

/** Whether a root holds a lease for a step, or waits for one that it may get; one that no worker of another pool would take is none. */
async function leased({ raw }: WorkflowExecutionDescription, store: string, path: string, pool: string): Promise<boolean> {
  if (thinks(raw)) return true;
  const leases = (raw.pendingActivities ?? []).filter(
    ({ activityId }) => /^serve( \d+)? /.test(activityId ?? '') && activityId!.endsWith(` ${path}`),
  );
  if (leases.length === 0) return false;
  if (leases.some(({ state }) => state !== SCHEDULED)) return true;
  const theirs = (leases[0]!.activityOptions?.taskQueue?.name ?? '').slice(queues.pool(store, '').length);
  return theirs === pool || (await hasPoller(store, theirs)) || !(await hasPoller(store, pool));
}

async function describe(client: Client, workflowId: string): Promise<WorkflowExecutionDescription | undefined> {
  try {
    return await client.workflow.getHandle(workflowId).describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
