/** A remote server's limiter: it finds out how many requests the server takes, and holds all of them while it takes none. */
import { setTimeout as delay } from 'node:timers/promises';
import { PeerOutcomes, Places, type About, type Limiter } from './limiter.ts';
import { Unavailable } from './transport.ts';

export interface AdaptiveOptions {
  readonly most: number;
  /** null: as many as it takes. */
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  /** Longest pause, in milliseconds, after a first failure; it doubles with every further one. Default: 250. */
  readonly pause?: number;
}
export interface Pace {
  readonly inFlight: number;
  readonly limit: number;
  /** Why nothing is asked at the moment, and since when (ISO 8601). */
  readonly held: { readonly why: string; readonly since: string } | null;
}

/** Requests in flight to begin with. */
const FIRST = 4;
/** What is left of the limit after a loss. Latency does not count: a batching server slows down long before it is full. */
const LESS = 0.8;
/** Answers, or a round of them where that is more, for one request more in flight: where few fit, a loss costs much. */
const SLOWLY = 20;
/** Milliseconds between two looks at a server that is away. */
const LONGEST_PAUSE = 15_000;
/** Tries of a request that fails while more of the others are answered than not. Crowding alone refuses some of them a few times. */
const TRIES = { Down: 4, Overloaded: 8 };
/** Failures of a request that may be for want of room, though others are answered: those after them say nothing of the server. */
const CROWDED = 2;

/**
 * Additive increase, multiplicative decrease on 429, 503 and timeouts, doubling at first; a Retry-After is waited for by all. When
 * nothing is answered any more, one request at a time tries whether the server is back, and the others wait, however long it takes.
 * Throws Unavailable only for a request that fails by itself: it waits by itself too, and only its first failures count for all.
 */
export class Adaptive implements Limiter {
  readonly limit: number;
  readonly #pause: number;
  readonly #places = new Places((taken) => this.#free(taken));
  readonly #breaker = new Breaker();
  readonly #others = new PeerOutcomes();
  readonly #requests: Rate;
  readonly #tokens: Rate;
  #limit: number;
  #doubling = true;
  /** Until then nothing is asked. */
  #quiet = 0;
  #held: Pace['held'] = null;
  #waking = false;

  constructor({ most, requestsPerMinute, tokensPerMinute, pause = 250 }: AdaptiveOptions) {
    this.limit = most;
    this.#limit = Math.min(FIRST, most);
    this.#requests = new Rate(requestsPerMinute);
    this.#tokens = new Rate(tokensPerMinute);
    this.#pause = pause;
  }

  get pace(): Pace {
    return { inFlight: this.#places.taken, limit: Math.floor(this.#limit), held: this.#holds ? this.#held : null };
  }
  get #holds(): boolean {
    return this.#breaker.open || performance.now() < this.#quiet;
  }

  async run<T extends { readonly tokens: number }>(signal: AbortSignal, body: () => Promise<T>, about: About = {}): Promise<T> {
    let others: ReturnType<PeerOutcomes['watch']> | undefined;
    let alone = 0;
    for (let failures = about.failedBefore ? CROWDED : 0; ;) {
      let wait = 0;
      await this.#places.enter(signal);
      const sent = performance.now();
      others ??= this.#others.watch();
      try {
        const answer = await body();
        this.#answered(answer.tokens);
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Unavailable)) {
          this.#answered(0);
          throw error;
        }
        this.#others.failed();
        const { answered, failed } = others.look();
        const itself = answered > failed;
        if (failures++ < CROWDED || !itself) this.#failed(error, sent, itself);
        if (itself || (await this.#isAlive(about, error.failure, answered + failed))) {
          wait = error.wait;
          if (++alone === TRIES[error.type]) throw error.byItself();
        } else if (this.#breaker.open) continue;
      } finally {
        this.#places.leave();
      }
      const pause = Math.min(LONGEST_PAUSE, this.#pause * 2 ** failures);
      await delay(Math.max(wait, (pause * (1 + Math.random())) / 2), undefined, { signal }).catch(() => {});
    }
  }

  /** Where nothing is heard of others: a server that may be away is asked something small, if nobody else waits to ask it. */
  async #isAlive({ alive }: About, failure: string, others: number): Promise<boolean> {
    if (others > 0) return false;
    if (!this.#breaker.open && failure !== 'timeout') return true;
    if (this.#places.waiting > 0 || this.#places.taken > 1 || !(await alive?.())) return false;
    this.#breaker.close();
    return true;
  }

  #free(taken: number): boolean {
    const wait = Math.max(this.#quiet, this.#requests.free, this.#tokens.free) - performance.now();
    if (wait > 0) this.#wake(wait);
    if (wait > 0 || taken >= (this.#breaker.open ? 1 : Math.floor(this.#limit))) return false;
    this.#requests.spend(1);
    return true;
  }
  /** Has who waits look again then. */
  #wake(milliseconds: number): void {
    if (this.#waking) return;
    this.#waking = true;
    setTimeout(() => {
      this.#waking = false;
      this.#places.admit();
    }, milliseconds).unref();
  }

  #answered(tokens: number): void {
    this.#others.answered();
    this.#tokens.spend(tokens);
    this.#doubling ||= this.#breaker.open;
    this.#breaker.close();
    if (this.#places.waiting === 0) return; // it was not the limit that kept them few
    this.#limit = Math.min(this.limit, this.#limit + (this.#doubling ? 1 : 1 / Math.max(SLOWLY, this.#limit)));
  }

  #failed({ type, message, wait }: Unavailable, sent: number, itself: boolean): void {
    const now = performance.now();
    if (!itself) {
      this.#held = { why: message, since: this.#held && this.#holds ? this.#held.since : new Date().toISOString() };
      this.#quiet = Math.max(this.#quiet, now + wait);
    }
    if (!this.#breaker.failed(sent)) return;
    if (this.#breaker.open) {
      const pause = Math.min(LONGEST_PAUSE, this.#pause * 2 ** this.#breaker.beyond);
      this.#quiet = Math.max(this.#quiet, now + Math.random() * pause);
    } else if (type === 'Overloaded') {
      this.#doubling = false;
      const taken = itself ? this.#limit : Math.min(this.#limit, this.#places.taken);
      this.#limit = Math.max(1, LESS * taken);
    }
  }
}

/** Open after four failures in a row, each of a request that was sent when the one before was known: those that one moment lost
 *  together count once. */
class Breaker {
  static readonly #OPENS = 4;
  #inRow = 0;
  #known = -Infinity;

  get open(): boolean {
    return this.#inRow >= Breaker.#OPENS;
  }
  /** Failures since it opened. */
  get beyond(): number {
    return this.#inRow - Breaker.#OPENS;
  }
  close(): void {
    this.#inRow = 0;
  }
  /** False: it was lost with one that counted. */
  failed(sent: number): boolean {
    if (sent < this.#known) return false;
    this.#known = performance.now();
    this.#inRow++;
    return true;
  }
}

/** So much a minute, evenly; null: any. */
class Rate {
  /** When the next may go. */
  free = 0;
  readonly #gap: number;

  constructor(perMinute: number | null) {
    this.#gap = perMinute === null ? 0 : 60_000 / perMinute;
  }
  spend(count: number): void {
    this.free = Math.max(this.free, performance.now()) + count * this.#gap;
  }
}
