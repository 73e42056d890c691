/** Checks whether a pool has a worker. */
import { Context } from '@temporalio/activity';
import type { Connection } from '@temporalio/client';
import { queues, taskQueueType } from '../schemas/names.ts';

/** Milliseconds. A poll lasts up to a minute, and the server lists pollers for five minutes. */
const LATELY = 90_000;

/** Returns true also if the server does not answer. */
export async function hasPoller(store: string, pool: string): Promise<boolean> {
  const { client, info } = Context.current();
  const queue = { taskQueue: { name: queues.pollers(store, pool) }, taskQueueType: taskQueueType.activity };
  try {
    const { pollers } = await (client.connection as Connection).workflowService.describeTaskQueue({
      namespace: info.activityNamespace,
      ...queue,
    });
    return (pollers ?? []).some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > Date.now() - LATELY);
  } catch {
    return true;
  }
}
