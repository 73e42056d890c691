import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { held } from './inflight-worker.ts';

/** Gives the attempt that ended. Its heartbeat timeout is longer than any test: only the token can tell of a dead worker. */
export async function one(): Promise<number> {
  const activities = proxyActivities<{ held: typeof held }>({
    startToCloseTimeout: '10m',
    heartbeatTimeout: '10m',
    retry: { initialInterval: '10m' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
  return activities.held();
}
