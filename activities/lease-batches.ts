/** Runs the batches of a lease on a Temporal worker beside the model server that they ask. */
import type { DataConverter } from '@temporalio/common';
import { Worker, type NativeConnection } from '@temporalio/worker';
import { inflight } from '../devices/inflight.ts';
import { stepsOf } from '../steps/work.ts';
import type { BatchInput, BatchTotals } from '../schemas/steps.ts';
import type { Services } from '../steps/services.ts';
import type { Models } from '../steps/models.ts';
import { ActivitySlots, tunerOf } from './slots.ts';
import { logAttributes } from './log-attributes.ts';
import { traced } from './traced.ts';
import { activity } from './wrap.ts';

export interface LeaseContext {
  readonly services: Services;
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly dataConverter?: DataConverter;
}

/** Batches of a lease that may hold unsent records: the current one and the next. The lease accepts another batch only when all records of
 *  the current one are in flight. This spreads batches evenly over leases and keeps the server busy while slow replies are outstanding. */
const UNSENT_BATCHES = 2;

/** Runs batches from the lease's queue until `ended` settles. It resolves when the lease is released and rejects when the server is lost.
 *  Returns false if a batch was interrupted: then the step was paused or cancelled. */
export async function runBatches(
  { services, connection, namespace, dataConverter }: LeaseContext,
  taskQueue: string,
  models: Models,
  ended: Promise<unknown>,
): Promise<boolean> {
  let cut = false;
  const steps = stepsOf(services); // for this lease alone, like its server
  const slots = new ActivitySlots(UNSENT_BATCHES);
  const worker = await Worker.create({
    connection,
    namespace,
    ...(dataConverter && { dataConverter }),
    taskQueue,
    activities: {
      batch: (input: BatchInput): Promise<BatchTotals> =>
        activity((beat) => {
          beat.signal.addEventListener('abort', () => (cut = true), { once: true });
          return slots.run((onAllStarted) => steps.batch(input, models, beat, onAllStarted));
        }),
    },
    interceptors: { activity: [inflight(services.home), logAttributes, ...traced(services.traces)] },
    tuner: tunerOf(slots),
    maxConcurrentActivityTaskPolls: 1,
    maxHeartbeatThrottleInterval: '1s',
    shutdownGraceTime: 0,
  });
  await worker.runUntil(ended.then(() => undefined));
  return !cut;
}
