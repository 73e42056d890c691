/** Starts the records of several batches in order, with a limit on the records in flight. */
import { Semaphore } from './limiter.ts';

/** Only one batch at a time loads its records, so waiting batches need no memory. The next batch loads as soon as all records of this one
 *  are in flight. */
export class RecordScheduler {
  readonly #reading = new Semaphore((inUse) => inUse < 1);
  readonly #semaphore: Semaphore;

  /** `maxInFlight`: records in flight, of all batches together. */
  constructor(maxInFlight: number) {
    this.#semaphore = new Semaphore((inUse) => inUse < maxInFlight);
  }

  /** Runs `body` on every item and calls `onAllStarted` when the last one is in flight. After a failure or an abort it starts no more
   *  items, waits for those in flight, and throws the first error. */
  async each<T>(
    read: () => Promise<readonly T[]>,
    signal: AbortSignal,
    body: (item: T) => Promise<void>,
    onAllStarted: () => void,
  ): Promise<void> {
    const running: Promise<void>[] = [];
    let failed: { readonly error: unknown } | undefined;
    const run = async (item: T) => {
      try {
        await body(item);
      } catch (error) {
        failed ??= { error };
      } finally {
        this.#semaphore.release();
      }
    };
    await this.#reading.acquire(signal);
    try {
      for (const item of await read()) {
        await this.#semaphore.acquire(signal);
        if (!failed) running.push(run(item));
        else {
          this.#semaphore.release();
          break;
        }
      }
    } catch (error) {
      failed ??= { error };
    } finally {
      this.#reading.release();
    }
    onAllStarted();
    await Promise.all(running);
    if (failed) throw failed.error;
  }
}
