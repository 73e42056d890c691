/** Experiments share a pool by time slices: a lease ends after its slice if another experiment waits for a device group. */
import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { taskQueueType } from '../schemas/names.ts';

const LOOK_EVERY = 2_000;
/** Milliseconds. The server's view of a queue is up to five seconds old, so it may count tasks that have started since. */
const STALE = 6_000;
/** `PendingActivityState` of Temporal's protocol. */
const SCHEDULED = 1;

/** Resolves once this activity has lasted `timeSlice` milliseconds, a few seconds at least, and another experiment waits for its pool. Rejects on abort. */
export async function timeSliceOver(timeSlice: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(timeSlice, STALE), undefined, { signal });
  while (!(await othersWait().catch(() => false))) await delay(LOOK_EVERY, undefined, { signal });
}

/** Whether tasks of other experiments wait in this activity's queue. */
async function othersWait(): Promise<boolean> {
  const { client, info } = Context.current();
  const { stats } = await client.workflowService.describeTaskQueue({
    namespace: info.workflowNamespace!,
    taskQueue: { name: info.taskQueue },
    taskQueueType: taskQueueType.activity,
    reportStats: true,
  });
  const waiting = Number(stats?.approximateBacklogCount ?? 0);
  if (waiting === 0) return false;
  const { raw } = await client.workflow.getHandle(info.workflowExecution!.workflowId).describe();
  const own = (raw.pendingActivities ?? []).filter(
    ({ state, activityOptions, nextAttemptScheduleTime }) =>
      state === SCHEDULED && activityOptions?.taskQueue?.name === info.taskQueue && !nextAttemptScheduleTime,
  );
  return waiting > own.length;
}
