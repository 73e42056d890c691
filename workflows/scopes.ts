/** Structured scopes: what was started inside is over before the scope is. */
import { CancellationScope, condition, isCancellation, log } from '@temporalio/workflow';

/**
 * Waits for `work` while at least one of `leases` holds a device or waits for one, and then runs `after` while they are given back.
 * When the last lease is lost, `scope`, in which the work was started, is cancelled, and that lease's error is how the step ended; of
 * any other that is lost, `lost` is told. How a lease ends that is given back decides nothing. A cancellation reaches all at once,
 * since whoever serves ends the work before its server.
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

/** Resolves when all that goes on without the world has gone on: conditions are looked at when no promise is left to be settled. */
export function untilIdle(): Promise<void> {
  let looked = false;
  return condition(() => looked || !(looked = true));
}

/** Never: what waits for it is asked for again by the next run, from the top. */
export const never = new Promise<never>(() => {});

/** Opens nothing new once it closes, and tells when all that was open is over: the moment to continue as new. */
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
  get closing(): boolean {
    return this.#closing;
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
