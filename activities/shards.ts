/** The shards of a lease: a worker runs them beside the server that they ask. */
import { Worker, type ActivitySlotInfo, type CustomSlotSupplier, type NativeConnection } from '@temporalio/worker';
import { inflight } from '../devices/inflight.ts';
import { Places } from '../inference/limiter.ts';
import { stepsOf, type ShardInput } from './data.ts';
import type { Services } from './services.ts';
import type { Models, SliceTotals } from './slice.ts';
import { activity } from './wrap.ts';

export interface LeaseSite {
  readonly services: Services;
  readonly connection: NativeConnection;
  readonly namespace: string;
}

const none = { type: 'fixed-size', numSlots: 1 } as const;

/** Runs the shards that wait on the lease's queue until `ended` settles: resolved, the lease was released; rejected, the server is
 *  lost. Says whether the step had ended by then: one that was paused or cancelled leaves a shard in its midst. */
export async function shards(
  { services, connection, namespace }: LeaseSite,
  taskQueue: string,
  models: Models,
  ended: Promise<unknown>,
): Promise<boolean> {
  let cut = false;
  const steps = stepsOf(services); // of this lease alone, as its server is
  const slots = new ShardSlots();
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue,
    activities: {
      shard: (input: ShardInput): Promise<SliceTotals> =>
        activity((beat) => {
          beat.signal.addEventListener('abort', () => (cut = true), { once: true });
          return slots.run((underWay) => steps.shard(input, models, beat, underWay));
        }),
    },
    interceptors: { activity: [inflight(services.home)] },
    tuner: {
      activityTaskSlotSupplier: slots,
      workflowTaskSlotSupplier: none,
      localActivityTaskSlotSupplier: none,
      nexusTaskSlotSupplier: none,
    },
    maxConcurrentActivityTaskPolls: 1,
    maxHeartbeatThrottleInterval: '1s',
    shutdownGraceTime: 0,
  });
  await worker.runUntil(ended.then(() => undefined));
  return !cut;
}

/** Shards of a lease that have records which are not under way: one, and the next. */
const WAITING = 2;

/** Has a shard come once the records of those before are under way. So leases share a step's shards evenly, and as many run at once as
 *  it takes to ask for something while the last answers of each are waited for. */
class ShardSlots implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  #underWay = 0;
  readonly #places = new Places((taken) => taken - this.#underWay < WAITING);

  /** Runs a shard, which tells when all of its records are under way. */
  async run<T>(shard: (underWay: () => void) => Promise<T>): Promise<T> {
    let underWay = 0;
    try {
      return await shard(() => {
        this.#underWay += underWay = 1;
        this.#places.admit();
      });
    } finally {
      this.#underWay -= underWay;
    }
  }

  async reserveSlot(_: unknown, signal: AbortSignal): Promise<object> {
    await this.#places.enter(signal);
    return {};
  }
  tryReserveSlot(): null {
    return null;
  }
  markSlotUsed(): void {}
  releaseSlot(): void {
    this.#places.leave();
  }
}
