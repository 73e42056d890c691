/** Structured scopes: whatever starts inside a scope ends before the scope does. */
import { CancellationScope, condition, isCancellation, log } from '@temporalio/workflow';

/**
 * Waits for `work` while at least one of `leases` holds a device or waits for one, then runs `after` while it releases the leases.
 * If the last lease fails, this cancels `scope`, in which the work was started, and the step fails with the error of that lease. If
 * another lease fails, `lost` gets its error. Errors of a lease that is being released are only logged. A cancellation reaches work and
 * leases at once, since the activity that serves ends the work before its server.
 */
export async function withLeases<S, T>(
  leases: readonly (() => Promise<void>)[],
  scope: CancellationScope,
  work: () => Promise<S>,
  after: (of: S) => Promise<T>,
  lost: (error: unknown) => void,
): Promise<T> {
  const held = new CancellationScope();
  let over = false;
  let left = leases.length;
  let last: { error: unknown } | undefined;
  const hold = (lease: () => Promise<void>) =>
    lease().catch((error: unknown) => {
      if (over) {
        if (!isCancellation(error)) log.warn('a lease ended badly', { error: String(error) });
      } else if (--left === 0) {
        last = { error };
        scope.cancel();
      } else if (!isCancellation(error)) lost(error);
    });
  const holding = held.run(() => Promise.all(leases.map(hold)));
  const release = () => {
    over = true;
    held.cancel();
  };
  try {
    const of = await work().catch((error: unknown) => {
      throw last ? last.error : error;
    });
    release();
    return await after(of);
  } finally {
    release();
    await holding;
  }
}

/** Resolves when the workflow can do no more by itself: Temporal checks conditions when no promise is left to settle. */
export function untilIdle(): Promise<void> {
  let looked = false;
  return condition(() => looked || !(looked = true));
}

/** Never settles. The recipe of the next run asks again for whatever waits for it. */
export const never = new Promise<never>(() => {});

/** Admits nothing new once it closes, and is drained when all that it admitted has ended: the moment to continue as new. */
export class DrainLatch {
  #open = 0;
  #closing = false;

  get open(): number {
    return this.#open;
  }
  get drained(): boolean {
    return this.#closing && this.#open === 0;
  }
  close(): void {
    this.#closing = true;
  }
  async through<T>(body: () => Promise<T>): Promise<T> {
    if (this.#closing) await never;
    this.#open++;
    try {
      return await body();
    } finally {
      this.#open--;
    }
  }
}
