/** Runs long computations of a data worker in threads: a reducer may sort a million records at once, and a source may read a large file.
 *  Meanwhile the main thread must heartbeat and run short activities. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { SOURCE } from '../devices/installation.ts';
import { Semaphore } from '../inference/limiter.ts';
import type { StepCall } from '../schemas/call.ts';
import { BackspinError, type ErrorType } from '../schemas/errors.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { MapWork, StageEnd, StepContext } from '../schemas/steps.ts';

/** Arguments for opening services in the thread. */
export interface ThreadContext {
  readonly home: string;
  readonly lowWater: number;
  readonly build: string;
  readonly launchedOnly: boolean;
}
export type Computation =
  | { readonly verb: 'compute'; readonly args: readonly [StepCall, StepContext] }
  | { readonly verb: 'commit'; readonly args: readonly [StepCall, StepContext, MapWork, StageEnd] };
export type Ended =
  | { readonly entry: LedgerEntry }
  | {
      readonly failed: {
        readonly name?: string;
        readonly message: string;
        readonly stack?: string;
        readonly code?: string;
        readonly type?: ErrorType;
      };
    };

/** The most threads; further computations wait. Each thread takes about 80 MB. */
const THREADS = Math.min(4, availableParallelism());
/** Milliseconds after which an idle thread ends to free its memory, unless no other one is idle: a start takes a second. */
const IDLE = 60_000;

export class Threads {
  readonly #context: ThreadContext;
  readonly #semaphore = new Semaphore((inUse) => inUse < THREADS);
  readonly #idle = new Set<Thread>();

  constructor({ home, lowWater, build, launchedOnly }: ThreadContext) {
    this.#context = { home, lowWater, build, launchedOnly };
  }

  /** Starts a thread before one is needed. */
  prepare(): this {
    this.#keepIdle(new Thread(this.#context));
    return this;
  }

  /** Rejects with the computation's error, or with the signal's reason; an abort terminates the thread. */
  run(computation: Computation, signal: AbortSignal): Promise<LedgerEntry> {
    return this.#semaphore.run(signal, async () => {
      const thread = this.#idle.values().find(({ alive }) => alive) ?? new Thread(this.#context);
      this.#idle.delete(thread);
      const ended = await thread.run(computation, signal);
      this.#keepIdle(thread);
      if ('entry' in ended) return ended.entry;
      throw errorOf(ended.failed);
    });
  }

  #keepIdle(thread: Thread): void {
    this.#idle.add(thread);
    thread.endAfter(IDLE, () => {
      const others = this.#idle.values().some((other) => other !== thread && other.alive);
      if (others) this.#idle.delete(thread);
      return others;
    });
  }
}

class Thread {
  alive = true;
  readonly #worker: Worker;
  #running: PromiseWithResolvers<Ended> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(site: ThreadContext) {
    this.#worker = new Worker(new URL(`./thread${SOURCE}`, import.meta.url), { workerData: site });
    this.#worker.on('message', (ended: Ended) => this.#running?.resolve(ended));
    this.#worker.on('error', (error) => this.#running?.reject(error)); // for example out of memory
    this.#worker.on('exit', () => {
      this.alive = false;
      this.#running?.reject(new Error('the thread of a computation ended'));
    });
  }

  /** Rejects if the thread is no longer usable. */
  async run(computation: Computation, signal: AbortSignal): Promise<Ended> {
    clearTimeout(this.#timer);
    this.#worker.ref();
    const running = (this.#running = Promise.withResolvers<Ended>());
    const abort = () => running.reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      else this.#worker.postMessage(computation);
      return await running.promise;
    } catch (error) {
      await this.#worker.terminate();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#running = undefined;
    }
  }

  /** Ends the thread after a pause without use, if `mayEnd`. Until then the thread does not keep the process alive. */
  endAfter(milliseconds: number, mayEnd: () => boolean): void {
    this.#worker.unref();
    this.#timer = setTimeout(() => {
      if (mayEnd()) void this.#worker.terminate();
    }, milliseconds).unref();
  }
}

function errorOf({ type, message, ...own }: Extract<Ended, { failed: object }>['failed']): Error {
  return Object.assign(type ? new BackspinError(type, message) : new Error(message), own);
}
