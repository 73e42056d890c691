/** Structured scopes: what was started inside is over before the scope is. */
import { CancellationScope, isCancellation, log } from '@temporalio/workflow';

/**
 * Runs `body` while `serve` holds a device. Whatever ends it - the body, a cancellation, a lost lease - the body goes first and the
 * lease last; how the lease ends never decides how the step ended, unless it was lost.
 */
export async function withLease<T>(serve: () => Promise<void>, body: () => Promise<T>): Promise<T> {
  const inner = new CancellationScope();
  let held: CancellationScope | undefined;
  let lost: { error: unknown } | undefined;
  let releasing = false;
  const lease = CancellationScope.nonCancellable(async () => {
    held = new CancellationScope(); // not reached by the experiment's cancellation, but by `held.cancel()`
    try {
      await held.run(serve);
    } catch (error) {
      if (!releasing) {
        lost = { error };
        inner.cancel();
      } else if (!isCancellation(error)) log.warn('a lease ended badly', { error: String(error) });
    }
  });
  try {
    return await inner.run(body);
  } catch (error) {
    throw lost ? lost.error : error;
  } finally {
    releasing = true;
    held?.cancel();
    await lease;
  }
}

/** Never: what waits for it is asked for again by the next run, from the top. */
export const parked = new Promise<never>(() => {});

/** Opens nothing new once it closes, and tells when all that was open is over: the moment to continue as new. */
export class Gate {
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
    if (this.#closing) await parked;
    this.#open++;
    try {
      return await body();
    } finally {
      this.#open--;
    }
  }
}
