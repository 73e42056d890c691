/** How many requests a server is asked at once. */

export interface Limiter {
  /** More are never in flight. */
  readonly limit: number;
  /** Runs `body` once there is room. Rejects with the signal's reason when it aborts before; then `body` is not run. `tokens` is what
   *  the answer cost. */
  run<T extends { readonly tokens: number }>(signal: AbortSignal, body: () => Promise<T>, about?: About): Promise<T>;
}
export interface About {
  /** Whether the server answers a small request of the kind. */
  readonly alive?: () => Promise<boolean>;
  readonly failedBefore?: boolean;
}

/** Answers and failures of a server. Who fails tells by them whether others fail too. */
export class PeerOutcomes {
  #answered = 0;
  #failed = 0;

  answered(): void {
    this.#answered++;
  }
  failed(): void {
    this.#failed++;
  }
  /** For a request that begins to be tried. `look` gives what happened to others since the look before; its own failures are told by then. */
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

/** An own server's: it queues and batches by itself, so a fixed number keeps it busy. */
export class FixedLimiter implements Limiter {
  readonly limit: number;
  readonly #places = new Places((taken) => taken < this.limit);

  constructor(most: number) {
    this.limit = most;
  }

  run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    return this.#places.run(signal, body);
  }
}

/** Places that are taken and left; who finds none waits, in order of arrival. */
export class Places {
  #taken = 0;
  readonly #waiting = new Set<() => void>();
  readonly #free: (taken: number) => boolean;

  /** `free` says whether one more may enter. When it says yes, one does. */
  constructor(free: (taken: number) => boolean) {
    this.#free = free;
  }

  get taken(): number {
    return this.#taken;
  }
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves once a place is taken. Rejects with the signal's reason when it aborts before. */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.size === 0 && this.#free(this.#taken)) this.#taken++;
    else await this.#turn(signal);
  }

  async run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    await this.enter(signal);
    try {
      return await body();
    } finally {
      this.leave();
    }
  }

  leave(): void {
    this.#taken--;
    this.admit();
  }

  /** Lets in who waits, as far as there is room. */
  admit(): void {
    for (const enter of this.#waiting) {
      if (!this.#free(this.#taken)) return;
      this.#waiting.delete(enter);
      this.#taken++;
      enter();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
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
