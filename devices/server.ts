/** Supervises a model server: adopts or starts it, checks its health, restarts it, and keeps it warm or stops it with all its processes. */
import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LeaseState } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { abortable } from './abortable.ts';
import type { Subprocess } from './subprocess.ts';
import type { Endpoint, Engine } from './engines/engine.ts';
import { CrashCounter, describeExit, errorOfExit } from './exits.ts';
import type { Slot, Task } from './slot.ts';

export interface ServerOptions {
  readonly slot: Slot;
  readonly key: string;
  readonly attempt: number;
  readonly engine: Engine;
  /** Existing folder for the key, the log and the engine's files. One per slot, whatever models it serves. */
  readonly folder: string;
  readonly lifeline: string;
  readonly signal: AbortSignal;
  /** Default: the engine's. */
  readonly health?: Engine['health'];
  /** Milliseconds from SIGTERM to SIGKILL. Default: 5,000. */
  readonly grace?: number;
}

/** Milliseconds that a start may take. The largest models load for minutes. */
const START_WITHIN = 1_800_000;
const LOOK_EVERY = 50;
/** Milliseconds. A server that was healthy for longer has made progress. */
const STABLE_AFTER = 60_000;

export class ModelServer {
  readonly #options: ServerOptions;
  readonly #task: Task;
  readonly #log: string;
  readonly #health: Engine['health'];
  readonly #ended = new AbortController();
  readonly #failed = deferred<never>();
  readonly #running: Promise<void>;
  #up = deferred<Endpoint>();
  /** Resolves when a request got no reply. */
  #checkRequested = deferred<void>();
  /** Resolves at the end of the next health check. */
  #checkEnded = deferred<void>();
  #answering = false;
  #since = Date.now();
  /** Milliseconds for which the subprocess was healthy. */
  #healthyFor = 0;
  #subprocess: Subprocess | undefined;

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

  /** Returns the server once it answers. On any error before that, also on abort, it leaves nothing running. */
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

  /** Returns the server's address and waits while it is down. A caller to whom `silent` did not answer waits for a health check first.
   *  Rejects like `failed`, or when `signal` aborts. */
  async endpoint(signal: AbortSignal, silent?: object): Promise<Endpoint> {
    if ((await abortable(this.#up.promise, signal)) === silent) {
      this.#checkRequested.resolve();
      await abortable(this.#checkEnded.promise, signal);
    }
    return abortable(this.#up.promise, signal);
  }

  /** Rejects when the supervisor gives the server up (CrashLoop, or the error of its exit code) or stops it; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Whether the server answers, and since when (milliseconds since 1970). */
  get state(): Pick<LeaseState, 'state' | 'since'> {
    return { state: this.#answering ? 'serving' : 'starting', since: this.#since };
  }

  /** Stops the server with all its processes. */
  async stop(): Promise<void> {
    await this.#end();
    if (this.#subprocess) await this.#options.slot.stop(this.#subprocess, this.#options.grace);
  }

  /** Leaves a healthy server on its slot for another task; stops any other. */
  async keepWarm(): Promise<void> {
    const sound = this.#answering;
    await this.#end();
    if (!this.#subprocess) return;
    await (sound ? this.#options.slot.keepWarm(this.#subprocess) : this.#options.slot.stop(this.#subprocess, this.#options.grace));
  }

  /** Lets go of the server without stopping it. The next task with the same key adopts it. */
  async leave(): Promise<void> {
    await this.#end();
    this.#subprocess?.leave();
  }

  #end(): Promise<void> {
    this.#ended.abort(new BackspinError('Down', 'The model server was stopped.'));
    return this.#running;
  }

  async #supervise(): Promise<never> {
    const { slot, grace } = this.#options;
    const crashes = new CrashCounter();
    for (;;) {
      const adopted = await slot.claim(this.#task);
      const subprocess = adopted ?? (await this.#launch());
      this.#subprocess = subprocess;
      const reason = await this.#watch(subprocess, adopted !== undefined);
      await slot.stop(subprocess, grace);
      this.#subprocess = undefined;
      crashes.add('The model server', reason, this.#log, this.#healthyFor > STABLE_AFTER);
    }
  }

  async #launch(): Promise<Subprocess> {
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

  /** Publishes the endpoint while the subprocess answers. Returns why it was lost. Throws if its exit code stands for an error. */
  async #watch(subprocess: Subprocess, adopted: boolean): Promise<string> {
    const exited = new AbortController();
    void subprocess.exited.then(() => exited.abort());
    const signal = AbortSignal.any([this.#ended.signal, exited.signal]);
    try {
      const endpoint = await this.#awaitFirstReply(signal);
      let answers = await this.#isHealthy(endpoint, signal);
      if (answers && adopted) await this.#load(endpoint, signal);
      this.#set(answers);
      if (answers) this.#up.resolve(endpoint);
      while (answers) {
        this.#checkRequested = deferred();
        await Promise.race([delay(this.#health.every, undefined, { signal }), this.#checkRequested.promise]);
        answers = await this.#isHealthy(endpoint, signal);
        if (answers) this.#endCheck();
      }
      return 'because it did not answer any more';
    } catch (error) {
      this.#ended.signal.throwIfAborted();
      if (error instanceof LoadFailed) return `because it did not take other models: ${error.message}`;
      if (!exited.signal.aborted) throw error;
      const code = await subprocess.exited;
      const meaning = errorOfExit(code, this.#log);
      if (meaning) throw meaning;
      return describeExit(code);
    } finally {
      if (this.#answering) this.#up = deferred();
      this.#set(false);
      this.#endCheck();
    }
  }

  #set(answering: boolean): void {
    const now = Date.now();
    this.#healthyFor = this.#answering ? now - this.#since : 0;
    if (this.#answering !== answering) this.#since = now;
    this.#answering = answering;
  }

  /** Waits until the server of our folder answers for the first time. */
  async #awaitFirstReply(signal: AbortSignal): Promise<Endpoint> {
    const { engine, folder } = this.#options;
    const key = await readFile(join(folder, 'key'), 'utf8');
    for (const end = performance.now() + START_WITHIN; performance.now() < end; await delay(LOOK_EVERY, undefined, { signal })) {
      const url = await engine.find(folder, key, signal);
      if (url !== undefined) return { url, key };
    }
    throw new BackspinError('Down', `The model server did not start within ${START_WITHIN / 60_000} minutes; its log is ${this.#log}.`);
  }

  /** Wakes callers that wait for a health check. */
  #endCheck(): void {
    this.#checkEnded.resolve();
    this.#checkEnded = deferred();
  }

  /** Throws LoadFailed. */
  async #load(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.engine.load(endpoint, AbortSignal.any([signal, AbortSignal.timeout(START_WITHIN)]));
    } catch (error) {
      signal.throwIfAborted();
      throw new LoadFailed((error as Error).message, { cause: error });
    }
  }

  /** Checks health until the server works, or has failed `misses` times in a row. */
  async #isHealthy(endpoint: Endpoint, signal: AbortSignal): Promise<boolean> {
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

/** An adopted server does not serve our models. */
class LoadFailed extends Error {}

/** A promise with its resolvers. Ignores a rejection that nothing awaits. */
function deferred<T>(): PromiseWithResolvers<T> {
  const made = Promise.withResolvers<T>();
  made.promise.catch(() => {});
  return made;
}
