/** The batches of a lease: a worker runs them beside the server that they ask. */
import { Worker, type NativeConnection } from '@temporalio/worker';
import { inflight } from '../devices/inflight.ts';
import { stepsOf } from '../steps/work.ts';
import type { BatchInput, BatchTotals } from '../schemas/steps.ts';
import type { Services } from '../steps/services.ts';
import type { Models } from '../steps/models.ts';
import { ActivitySlots, tunerOf } from './slots.ts';
import { activity } from './wrap.ts';

export interface LeaseContext {
  readonly services: Services;
  readonly connection: NativeConnection;
  readonly namespace: string;
}

/** Batches of a lease that have records which are not under way: one, and the next. So leases share a step's batches evenly, and as many run
 *  at once as it takes to ask for something while the last answers of each are waited for. */
const WAITING = 2;

/** Runs the batches that wait on the lease's queue until `ended` settles: resolved, the lease was released; rejected, the server is
 *  lost. Says whether the step had ended by then: one that was paused or cancelled leaves a batch in its midst. */
export async function runBatches(
  { services, connection, namespace }: LeaseContext,
  taskQueue: string,
  models: Models,
  ended: Promise<unknown>,
): Promise<boolean> {
  let cut = false;
  const steps = stepsOf(services); // of this lease alone, as its server is
  const slots = new ActivitySlots(WAITING);
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue,
    activities: {
      batch: (input: BatchInput): Promise<BatchTotals> =>
        activity((beat) => {
          beat.signal.addEventListener('abort', () => (cut = true), { once: true });
          return slots.run((underWay) => steps.batch(input, models, beat, underWay));
        }),
    },
    interceptors: { activity: [inflight(services.home)] },
    tuner: tunerOf(slots),
    maxConcurrentActivityTaskPolls: 1,
    maxHeartbeatThrottleInterval: '1s',
    shutdownGraceTime: 0,
  });
  await worker.runUntil(ended.then(() => undefined));
  return !cut;
}
