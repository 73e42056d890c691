/** Structured scopes: what was started inside is over before the scope is. */
import { CancellationScope, isCancellation, log } from '@temporalio/workflow';

/**
 * Runs `body` while each of `leases` holds a device, and then `after` while they are given back. A lost lease ends the body, and is how
 * the step ended; how a lease ends that is given back is not. A cancellation reaches all at once, since whoever serves ends the body's
 * work before its server.
 */
export async function withLeases<S, T>(
  leases: readonly (() => Promise<void>)[],
  body: () => Promise<S>,
  after: (of: S) => Promise<T>,
): Promise<T> {
  const held = new CancellationScope();
  const inner = new CancellationScope();
  let over = false;
  let lost: { error: unknown } | undefined;
  const hold = (lease: () => Promise<void>) =>
    lease().catch((error: unknown) => {
      if (!over) {
        lost = { error };
        inner.cancel();
      } else if (!isCancellation(error)) log.warn('a lease ended badly', { error: String(error) });
    });
  const holding = held.run(() => Promise.all(leases.map(hold)));
  const release = () => {
    over = true;
    held.cancel();
  };
  try {
    const of = await inner.run(body).catch((error: unknown) => {
      throw lost ? lost.error : error;
    });
    release();
    return await after(of);
  } finally {
    release();
    await holding;
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
