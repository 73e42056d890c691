/** Limits the requests that a server gets at once. */

export interface Limiter {
  /** The most requests in flight. */
  readonly limit: number;
  /** Runs `body` once the limit allows it. Rejects with the signal's reason if it aborts before that; then `body` does not run. `tokens` is
   *  the cost of the reply. */
  run<T extends { readonly tokens: number }>(signal: AbortSignal, body: () => Promise<T>, about?: RequestTraits): Promise<T>;
}
export interface RequestTraits {
  /** Sends a small request of the same kind and returns whether the server answers it. */
  readonly alive?: () => Promise<boolean>;
  readonly failedBefore?: boolean;
}

/** Counts replies and failures of a server, so that a failing request can see whether others fail too. */
export class PeerOutcomes {
  #answered = 0;
  #failed = 0;

  answered(): void {
    this.#answered++;
  }
  failed(): void {
    this.#failed++;
  }
  /** Starts counting for one request. `look` returns the outcomes of other requests since the last call; call `failed` for the own failure
   *  first. */
  watch(): { look(): { readonly answered: number; readonly failed: number } } {
    let [answered, failed] = [this.#answered, this.#failed];
    return {
      look: () => {
        const since = { answered: this.#answered - answered, failed: this.#failed - failed - 1 };
        [answered, failed] = [this.#answered, this.#failed];
        return since;
      },
    };
  }
}

/** For one of our own servers. It queues and batches requests by itself, so a fixed number keeps it busy. */
export class FixedLimiter implements Limiter {
  readonly limit: number;
  readonly #semaphore = new Semaphore((inUse) => inUse < this.limit);

  constructor(limit: number) {
    this.limit = limit;
  }

  run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    return this.#semaphore.run(signal, body);
  }
}

/** A semaphore with a variable limit. Callers wait in order of arrival. */
export class Semaphore {
  #inUse = 0;
  readonly #waiting = new Set<() => void>();
  readonly #mayAcquire: (inUse: number) => boolean;

  /** `mayAcquire` decides whether one more caller may enter. If it returns true, one enters. */
  constructor(mayAcquire: (inUse: number) => boolean) {
    this.#mayAcquire = mayAcquire;
  }

  get inUse(): number {
    return this.#inUse;
  }
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves once the caller has entered. Rejects with the signal's reason if it aborts before that. */
  async acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.size === 0 && this.#mayAcquire(this.#inUse)) this.#inUse++;
    else await this.#waitForRelease(signal);
  }

  async run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    await this.acquire(signal);
    try {
      return await body();
    } finally {
      this.release();
    }
  }

  release(): void {
    this.#inUse--;
    this.admitWaiting();
  }

  /** Admits waiting callers for as long as the limit allows it. */
  admitWaiting(): void {
    for (const admit of this.#waiting) {
      if (!this.#mayAcquire(this.#inUse)) return;
      this.#waiting.delete(admit);
      this.#inUse++;
      admit();
    }
  }

  #waitForRelease(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = () => {
        this.#waiting.delete(enter);
        reject(signal.reason as Error);
      };
      this.#waiting.add(enter);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
