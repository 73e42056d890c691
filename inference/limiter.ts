/** At most so many at once; the others wait in order of arrival. Own servers want a fixed limit: they queue and batch themselves. */
export class Limiter {
  readonly limit: number;
  #running = 0;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Runs `body` once there is room. Rejects with the signal's reason when it aborts before; then `body` is never run. */
  async run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#running < this.limit) this.#running++;
    else await this.#turn(signal);
    try {
      return await body();
    } finally {
      this.#leave();
    }
  }

  /** Waits to be handed the place of one that leaves. */
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

  #leave(): void {
    const [next] = this.#waiting;
    if (!next) return void this.#running--;
    this.#waiting.delete(next);
    next();
  }
}
