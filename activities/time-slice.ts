/** Experiments take turns on a pool: a lease that has lasted its time ends where another experiment waits for a device group. */
import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';

const LOOK_EVERY = 2_000;
/** Milliseconds: a server tells of a queue as it was up to five seconds ago, and then somebody still waited whose turn is over. */
const STALE = 6_000;
/** Of the wire. */
const ACTIVITY_QUEUE = 2;
const SCHEDULED = 1;

/** Resolves once this activity has lasted `timeSlice` milliseconds, a few seconds at least, and another experiment waits for its pool. Rejects on abort. */
export async function timeSliceOver(timeSlice: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(timeSlice, STALE), undefined, { signal });
  while (!(await othersWait().catch(() => false))) await delay(LOOK_EVERY, undefined, { signal });
}

/** Whether more tasks wait in this activity's queue than those of its own experiment. */
async function othersWait(): Promise<boolean> {
  const { client, info } = Context.current();
  const { stats } = await client.workflowService.describeTaskQueue({
    namespace: info.workflowNamespace!,
    taskQueue: { name: info.taskQueue },
    taskQueueType: ACTIVITY_QUEUE,
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
