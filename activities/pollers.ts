/** Whether a pool has a worker at all. */
import { Context } from '@temporalio/activity';
import type { Connection } from '@temporalio/client';
import { queues } from '../schemas/names.ts';

/** `TASK_QUEUE_TYPE_ACTIVITY` of the wire. */
const ACTIVITY = 2;
/** Milliseconds. A poll lasts a minute, and the server tells of the last for five. */
const LATELY = 90_000;

/** True also where the server does not tell. */
export async function hasPoller(store: string, pool: string): Promise<boolean> {
  const { client, info } = Context.current();
  const asked = { namespace: info.activityNamespace, taskQueue: { name: queues.pollers(store, pool) }, taskQueueType: ACTIVITY };
  try {
    const { pollers } = await (client.connection as Connection).workflowService.describeTaskQueue(asked);
    return (pollers ?? []).some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > Date.now() - LATELY);
  } catch {
    return true;
  }
}
