/** Timeouts and retries of every activity, as measured: a crash is told by task tokens, so heartbeat timeouts may be long. */
import { ActivityCancellationType, proxyActivities, type ActivityOptions } from '@temporalio/workflow';
import type { DataActivities, GpuActivities } from '../schemas/activities.ts';

const common = {
  startToCloseTimeout: '30d',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} satisfies ActivityOptions;
/** A payload over the server's limit fails "retryably": never retry it. */
const nonRetryableErrorTypes = ['PayloadsTooLarge'];

export interface Named {
  /** Readable and unique among what is pending. */
  readonly id: string;
  readonly summary: string;
  readonly queue: string;
  /** Pools and data workers are shared fairly between experiments. */
  readonly experiment: string;
}
const named = ({ id, summary, queue, experiment }: Named) => ({
  activityId: id,
  summary: summary.slice(0, 200),
  taskQueue: queue,
  priority: { fairnessKey: experiment.slice(0, 64) },
});

export const data = (name: Named, maximumAttempts?: number) =>
  proxyActivities<DataActivities>({
    ...common,
    ...named(name),
    heartbeatTimeout: '15s',
    retry: { initialInterval: '1s', maximumInterval: '30s', nonRetryableErrorTypes, ...(maximumAttempts && { maximumAttempts }) },
  });

/** `serve` and `train`: the first retry is nearly always a hand-over, so it comes at once. */
export const pool = (name: Named) =>
  proxyActivities<GpuActivities>({
    ...common,
    ...named(name),
    heartbeatTimeout: '60s',
    retry: { initialInterval: '200ms', maximumInterval: '30s', nonRetryableErrorTypes },
  });

export const batches = (name: Named) =>
  proxyActivities<Pick<DataActivities, 'batch'>>({
    ...common,
    ...named(name),
    heartbeatTimeout: '15s',
    retry: { initialInterval: '200ms', maximumInterval: '30s', nonRetryableErrorTypes },
  });
