/** Limits the requests to an external server: finds out how many it takes at once, and holds them all back while it takes none. */
import { setTimeout as delay } from 'node:timers/promises';
import { PeerOutcomes, Semaphore, type RequestTraits, type Limiter } from './limiter.ts';
import { Unavailable } from './transport.ts';

export interface AdaptiveOptions {
  readonly maxInFlight: number;
  /** null: no limit. */
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  /** Longest pause, in milliseconds, after a first failure; every further failure doubles it. Default: 250. */
  readonly maxPause?: number;
}
export interface Pace {
  readonly inFlight: number;
  readonly limit: number;
  /** Why the limiter sends nothing at the moment, and since when (ISO 8601). */
  readonly held: { readonly why: string; readonly since: string } | null;
}

/** The limit at the start. */
const INITIAL_LIMIT = 4;
/** Factor on the limit after a 429, a 503 or a timeout. Latency does not count: a batching server slows down long before it is full. */
const DECREASE = 0.8;
/** Replies that raise the limit by one: at least this many, and at least one per request in flight. If few requests fit, an overload costs
 *  much. */
const MIN_REPLIES_PER_INCREASE = 20;
/** Longest pause, in milliseconds, between two attempts at a server that is down. */
const LONGEST_PAUSE = 15_000;
/** Failures after which a request is given up if the server answers most other requests. An overloaded server refuses some of them a few
 *  times. */
const MAX_OWN_FAILURES = { Down: 4, Overloaded: 8 };
/** Failures of one request that count as overload although the server answers others. Later ones say nothing about the server. */
const FAILURES_COUNTED = 2;

/**
 * Additive increase, multiplicative decrease on 429, 503 and timeouts; at first the limit doubles. A Retry-After holds back all requests.
 * When the server answers nothing any more, one request at a time tries it, and the others wait for as long as that takes. Throws
 * Unavailable only for a request that fails while the server answers others. Such a request pauses alone, and only its first failures lower
 * the limit.
 */
export class AdaptiveLimiter implements Limiter {
  readonly limit: number;
  readonly #maxPause: number;
  readonly #semaphore = new Semaphore((inUse) => this.#maySend(inUse));
  readonly #breaker = new Breaker();
  readonly #peers = new PeerOutcomes();
  readonly #requests: Rate;
  readonly #tokens: Rate;
  #limit: number;
  #doubling = true;
  /** The limiter sends nothing before this time. */
  #pausedUntil = 0;
  #held: Pace['held'] = null;
  #wakeScheduled = false;

  constructor({ maxInFlight, requestsPerMinute, tokensPerMinute, maxPause = 250 }: AdaptiveOptions) {
    this.limit = maxInFlight;
    this.#limit = Math.min(INITIAL_LIMIT, maxInFlight);
    this.#requests = new Rate(requestsPerMinute);
    this.#tokens = new Rate(tokensPerMinute);
    this.#maxPause = maxPause;
  }

  get pace(): Pace {
    return { inFlight: this.#semaphore.inUse, limit: Math.floor(this.#limit), held: this.#isHeld ? this.#held : null };
  }
  get #isHeld(): boolean {
    return this.#breaker.open || performance.now() < this.#pausedUntil;
  }

  async run<T extends { readonly tokens: number }>(signal: AbortSignal, body: () => Promise<T>, about: RequestTraits = {}): Promise<T> {
    let peers: ReturnType<PeerOutcomes['watch']> | undefined;
    let ownFailures = 0;
    for (let failures = about.failedBefore ? FAILURES_COUNTED : 0; ;) {
      let wait = 0;
      await this.#semaphore.acquire(signal);
      const sent = performance.now();
      peers ??= this.#peers.watch();
      try {
        const answer = await body();
        this.#onReply(answer.tokens);
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Unavailable)) {
          this.#onReply(0);
          throw error;
        }
        this.#peers.failed();
        const { answered, failed } = peers.look();
        const isOwnFault = answered > failed;
        if (failures++ < FAILURES_COUNTED || !isOwnFault) this.#onFailure(error, sent, isOwnFault);
        if (isOwnFault || (await this.#isAlive(about, error.failure, answered + failed))) {
          wait = error.wait;
          if (++ownFailures === MAX_OWN_FAILURES[error.type]) throw error.asOwnFault();
        } else if (this.#breaker.open) continue;
      } finally {
        this.#semaphore.release();
      }
      const pause = Math.min(LONGEST_PAUSE, this.#maxPause * 2 ** failures);
      await delay(Math.max(wait, (pause * (1 + Math.random())) / 2), undefined, { signal }).catch(() => {});
    }
  }

  /** Asks a server that may be down a small question, if no other request has had an outcome since and no other waits to try it. */
  async #isAlive({ alive }: RequestTraits, failure: string, others: number): Promise<boolean> {
    if (others > 0) return false;
    if (!this.#breaker.open && failure !== 'timeout') return true;
    if (this.#semaphore.waiting > 0 || this.#semaphore.inUse > 1 || !(await alive?.())) return false;
    this.#breaker.close();
    return true;
  }

  #maySend(inUse: number): boolean {
    const wait = Math.max(this.#pausedUntil, this.#requests.nextAt, this.#tokens.nextAt) - performance.now();
    if (wait > 0) this.#wake(wait);
    if (wait > 0 || inUse >= (this.#breaker.open ? 1 : Math.floor(this.#limit))) return false;
    this.#requests.spend(1);
    return true;
  }
  /** Lets waiting requests try again after this time. */
  #wake(milliseconds: number): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    setTimeout(() => {
      this.#wakeScheduled = false;
      this.#semaphore.admitWaiting();
    }, milliseconds).unref();
  }

  #onReply(tokens: number): void {
    this.#peers.answered();
    this.#tokens.spend(tokens);
    this.#doubling ||= this.#breaker.open;
    this.#breaker.close();
    if (this.#semaphore.waiting === 0) return; // the limit did not hold any request back
    this.#limit = Math.min(this.limit, this.#limit + (this.#doubling ? 1 : 1 / Math.max(MIN_REPLIES_PER_INCREASE, this.#limit)));
  }

  #onFailure({ type, message, wait }: Unavailable, sent: number, isOwnFault: boolean): void {
    const now = performance.now();
    if (!isOwnFault) {
      this.#held = { why: message, since: this.#held && this.#isHeld ? this.#held.since : new Date().toISOString() };
      this.#pausedUntil = Math.max(this.#pausedUntil, now + wait);
    }
    if (!this.#breaker.failed(sent)) return;
    if (this.#breaker.open) {
      const pause = Math.min(LONGEST_PAUSE, this.#maxPause * 2 ** this.#breaker.failuresSinceOpen);
      this.#pausedUntil = Math.max(this.#pausedUntil, now + Math.random() * pause);
    } else if (type === 'Overloaded') {
      this.#doubling = false;
      const inFlight = isOwnFault ? this.#limit : Math.min(this.#limit, this.#semaphore.inUse);
      this.#limit = Math.max(1, DECREASE * inFlight);
    }
  }
}

/** Opens after four failures in a row. A failure counts only if its request was sent after the previous failure was known: requests that
 *  one outage hits at the same time count once. */
class Breaker {
  static readonly #LIMIT = 4;
  #inRow = 0;
  #lastFailureAt = -Infinity;

  get open(): boolean {
    return this.#inRow >= Breaker.#LIMIT;
  }
  /** Failures since the breaker opened. */
  get failuresSinceOpen(): number {
    return this.#inRow - Breaker.#LIMIT;
  }
  close(): void {
    this.#inRow = 0;
  }
  /** Returns false if the request was sent before the last counted failure. */
  failed(countFailure: number): boolean {
    if (countFailure < this.#lastFailureAt) return false;
    this.#lastFailureAt = performance.now();
    this.#inRow++;
    return true;
  }
}

/** Spaces requests or tokens evenly over a minute; null: no limit. */
class Rate {
  /** Time of the next request. */
  nextAt = 0;
  readonly #gap: number;

  constructor(perMinute: number | null) {
    this.#gap = perMinute === null ? 0 : 60_000 / perMinute;
  }
  spend(count: number): void {
    this.nextAt = Math.max(this.nextAt, performance.now()) + count * this.#gap;
  }
}
