/** Activity slots of a worker that an activity can free before it ends. */
import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import { Semaphore } from '../inference/limiter.ts';

export class ActivitySlots implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  #finished = 0;
  readonly #semaphore: Semaphore;

  /** `limit`: activities that still hold their slot. */
  constructor(limit: number) {
    this.#semaphore = new Semaphore((inUse) => inUse - this.#finished < limit);
  }

  /** Runs an activity, which may free its slot early. */
  async run<T>(activity: (freeSlot: () => void) => Promise<T>): Promise<T> {
    let freed = 0;
    try {
      return await activity(() => {
        if (freed === 1) return;
        this.#finished += freed = 1;
        this.#semaphore.admitWaiting();
      });
    } finally {
      this.#finished -= freed;
    }
  }

  async reserveSlot(_: unknown, signal: AbortSignal): Promise<object> {
    await this.#semaphore.acquire(signal);
    return {};
  }
  tryReserveSlot(): null {
    return null;
  }
  markSlotUsed(): void {}
  releaseSlot(): void {
    this.#semaphore.release();
  }
}

const one = { type: 'fixed-size', numSlots: 1 } as const;
/** Tuner of a worker that runs only activities. */
export const tunerOf = (activityTaskSlotSupplier: ActivitySlots) => ({
  activityTaskSlotSupplier,
  workflowTaskSlotSupplier: one,
  localActivityTaskSlotSupplier: one,
  nexusTaskSlotSupplier: one,
});
