/** Room for activities on a worker: one more comes when those that are here have gone so far that it can. */
import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import { Places } from '../inference/limiter.ts';

export class ActivitySlots implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  #past = 0;
  readonly #places: Places;

  /** `most`: activities that are not so far yet. */
  constructor(most: number) {
    this.#places = new Places((taken) => taken - this.#past < most);
  }

  /** Runs an activity, which says when it is so far. */
  async run<T>(activity: (past: () => void) => Promise<T>): Promise<T> {
    let past = 0;
    try {
      return await activity(() => {
        if (past === 1) return;
        this.#past += past = 1;
        this.#places.admit();
      });
    } finally {
      this.#past -= past;
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

const one = { type: 'fixed-size', numSlots: 1 } as const;
/** For a worker of activities alone. */
export const tunerOf = (activityTaskSlotSupplier: ActivitySlots) => ({
  activityTaskSlotSupplier,
  workflowTaskSlotSupplier: one,
  localActivityTaskSlotSupplier: one,
  nexusTaskSlotSupplier: one,
});
