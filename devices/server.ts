/** A supervised model server: adopted or started, watched, restarted in place, kept warm for another use or stopped with all its processes. */
import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LeaseState } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { abortable } from './abortable.ts';
import type { Child } from './child.ts';
import type { Endpoint, Engine } from './engines/engine.ts';
import { Crashes, described, meaningOf } from './exits.ts';
import type { Slot, Task } from './slot.ts';

export interface ServerOptions {
  readonly slot: Slot;
  readonly key: string;
  readonly attempt: number;
  readonly engine: Engine;
  /** For the key, the log and the engine's own files. Exists. Of the slot alone, whatever is served there. */
  readonly folder: string;
  readonly lifeline: string;
  readonly signal: AbortSignal;
  /** Default: the engine's. */
  readonly health?: Engine['health'];
  /** Milliseconds from SIGTERM to SIGKILL. Default: 5,000. */
  readonly grace?: number;
}

/** Milliseconds that a start may take: the largest models load for minutes. */
const START_WITHIN = 1_800_000;
const LOOK_EVERY = 50;
/** Milliseconds: a server that answered for so long has done some of its work. */
const GOT_ON = 60_000;

export class ModelServer {
  readonly #options: ServerOptions;
  readonly #task: Task;
  readonly #log: string;
  readonly #health: Engine['health'];
  readonly #ended = new AbortController();
  readonly #failed = fresh<never>();
  readonly #running: Promise<void>;
  #up = fresh<Endpoint>();
  /** Resolves when a request got no answer. */
  #doubted = fresh<void>();
  /** Ends with the next look. */
  #looked = fresh<void>();
  #answering = false;
  #since = Date.now();
  /** Milliseconds for which the child answered. */
  #answered = 0;
  #child: Child | undefined;

  private constructor(options: ServerOptions) {
    this.#options = options;
    const { key, attempt, folder, engine, health = engine.health } = options;
    this.#task = { kind: 'serve', key, attempt, folder, warm: engine.warmth };
    this.#health = health;
    this.#log = join(options.folder, 'server.log');
    this.#running = this.#supervise().catch((error: unknown) => {
      this.#up.reject(error);
      this.#failed.reject(error);
    });
  }

  /** Gives the server once it answers. Whatever goes wrong before, an abort too, leaves nothing running. */
  static async start(options: ServerOptions): Promise<ModelServer> {
    const server = new ModelServer(options);
    try {
      await server.endpoint(options.signal);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /**
   * Where it answers; waits while it is down. Somebody to whom `silent` did not answer waits for a look at it first. Rejects as
   * `failed` does, or when `signal` aborts.
   */
  async endpoint(signal: AbortSignal, silent?: object): Promise<Endpoint> {
    if ((await abortable(this.#up.promise, signal)) === silent) {
      this.#doubted.resolve();
      await abortable(this.#looked.promise, signal);
    }
    return abortable(this.#up.promise, signal);
  }

  /** Rejects when the server is given up (CrashLoop, or what its exit code means) or was stopped; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Whether it answers, and when that began (milliseconds since 1970). */
  get state(): Pick<LeaseState, 'state' | 'since'> {
    return { state: this.#answering ? 'serving' : 'starting', since: this.#since };
  }

  /** Ends it with all its processes. */
  async stop(): Promise<void> {
    await this.#end();
    if (this.#child) await this.#options.slot.stop(this.#child, this.#options.grace);
  }

  /** Leaves it on its slot for another task, if it answers; ends it otherwise. */
  async keepWarm(): Promise<void> {
    const sound = this.#answering;
    await this.#end();
    if (!this.#child) return;
    await (sound ? this.#options.slot.keepWarm(this.#child) : this.#options.slot.stop(this.#child, this.#options.grace));
  }

  /** Lets go of it without stopping it: a successor that claims the same key adopts it. */
  async leave(): Promise<void> {
    await this.#end();
    this.#child?.leave();
  }

  #end(): Promise<void> {
    this.#ended.abort(new BackspinError('Down', 'The model server was stopped.'));
    return this.#running;
  }

  async #supervise(): Promise<never> {
    const { slot, grace } = this.#options;
    const crashes = new Crashes();
    for (;;) {
      const adopted = await slot.claim(this.#task);
      const child = adopted ?? (await this.#launch());
      this.#child = child;
      const how = await this.#attend(child, adopted !== undefined);
      await slot.stop(child, grace);
      this.#child = undefined;
      crashes.add('The model server', how, this.#log, this.#answered > GOT_ON);
    }
  }

  async #launch(): Promise<Child> {
    const { slot, engine, folder, lifeline } = this.#options;
    if (slot.devices.length > 0 && slot.devices.length < engine.devices) {
      throw new BackspinError(
        'ConfigError',
        `The model server is to compute on ${engine.devices} devices (\`tensorParallel\` times \`dataParallel\`), and the group ${slot.name} has ${slot.devices.length}: declare larger groups for its pool, such as cuda:0+1.`,
      );
    }
    const file = join(folder, 'key');
    const key = randomBytes(32).toString('base64url');
    await rm(file, { force: true });
    await writeFile(file, key, { mode: 0o600 });
    return slot.launch(this.#task, {
      ...(await engine.prepare(folder, key)),
      lifeline,
      log: this.#log,
      signal: this.#ended.signal,
    });
  }

  /** Offers the child's endpoint while it answers; says how it was lost. Throws where its exit code says what is wrong. */
  async #attend(child: Child, adopted: boolean): Promise<string> {
    const gone = new AbortController();
    void child.exited.then(() => gone.abort());
    const signal = AbortSignal.any([this.#ended.signal, gone.signal]);
    try {
      const endpoint = await this.#found(signal);
      let answers = await this.#answers(endpoint, signal);
      if (answers && adopted) await this.#load(endpoint, signal);
      this.#set(answers);
      if (answers) this.#up.resolve(endpoint);
      while (answers) {
        this.#doubted = fresh();
        await Promise.race([delay(this.#health.every, undefined, { signal }), this.#doubted.promise]);
        answers = await this.#answers(endpoint, signal);
        if (answers) this.#look();
      }
      return 'because it did not answer any more';
    } catch (error) {
      this.#ended.signal.throwIfAborted();
      if (error instanceof Unloadable) return `because it did not take other models: ${error.message}`;
      if (!gone.signal.aborted) throw error;
      const code = await child.exited;
      const meaning = meaningOf(code, this.#log);
      if (meaning) throw meaning;
      return described(code);
    } finally {
      if (this.#answering) this.#up = fresh();
      this.#set(false);
      this.#look();
    }
  }

  #set(answering: boolean): void {
    const now = Date.now();
    this.#answered = this.#answering ? now - this.#since : 0;
    if (this.#answering !== answering) this.#since = now;
    this.#answering = answering;
  }

  /** Waits until the server of our folder answers for the first time. */
  async #found(signal: AbortSignal): Promise<Endpoint> {
    const { engine, folder } = this.#options;
    const key = await readFile(join(folder, 'key'), 'utf8');
    for (const end = performance.now() + START_WITHIN; performance.now() < end; await delay(LOOK_EVERY, undefined, { signal })) {
      const url = await engine.find(folder, key, signal);
      if (url !== undefined) return { url, key };
    }
    throw new BackspinError('Down', `The model server did not start within ${START_WITHIN / 60_000} minutes; its log is ${this.#log}.`);
  }

  /** Tells those who doubted. */
  #look(): void {
    this.#looked.resolve();
    this.#looked = fresh();
  }

  /** Throws Unloadable. */
  async #load(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.engine.load(endpoint, AbortSignal.any([signal, AbortSignal.timeout(START_WITHIN)]));
    } catch (error) {
      signal.throwIfAborted();
      throw new Unloadable((error as Error).message, { cause: error });
    }
  }

  /** Looks until it does its work, or has not so many times in a row. */
  async #answers(endpoint: Endpoint, signal: AbortSignal): Promise<boolean> {
    const { every, timeout, misses } = this.#health;
    for (let miss = 0; miss < misses; miss++) {
      if (miss > 0) await delay(every, undefined, { signal });
      try {
        await this.#options.engine.check(endpoint, AbortSignal.any([signal, AbortSignal.timeout(timeout)]));
        return true;
      } catch {
        signal.throwIfAborted();
      }
    }
    return false;
  }
}

/** A server that was taken over does not serve what it should. */
class Unloadable extends Error {}

/** A promise and its ends; perhaps nobody asks for it. */
function fresh<T>(): PromiseWithResolvers<T> {
  const made = Promise.withResolvers<T>();
  made.promise.catch(() => {});
  return made;
}
