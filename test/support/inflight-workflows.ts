/** Defines a workflow whose only activity is lost with its worker. */
import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { held } from './inflight-worker.ts';

/** Returns the attempt that ended. Its heartbeat timeout is longer than any test, so only the token can show that a worker died. */
export async function one(): Promise<number> {
  const activities = proxyActivities<{ held: typeof held }>({
    startToCloseTimeout: '10m',
    heartbeatTimeout: '10m',
    retry: { initialInterval: '10m' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
  return activities.held();
}
