/** A supervised model server: adopted or started, watched, restarted in place, parked for another use or stopped with all its processes. */
import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BackspinError } from '../schemas/errors.ts';
import { ready, type Ready, type ServeSpec } from '../schemas/devices.ts';
import { abortable } from './abortable.ts';
import type { Child } from './child.ts';
import { Crashes, described, meaningOf } from './exits.ts';
import type { Slot, Task } from './slots.ts';

/** Where a server answers. A new object for every start, so that a client can tell a restart from a bad moment. */
export interface Endpoint {
  readonly url: string;
  readonly key: string;
}

export interface ServerOptions {
  readonly slot: Slot;
  readonly key: string;
  readonly attempt: number;
  /** Served name -> folder of a model. */
  readonly models: Readonly<Record<string, string>>;
  /** Requests decoded at once. */
  readonly slots: number;
  /** Null: all of the machine. */
  readonly threads: number | null;
  /** For spec, key, log and ready file. Exists. Of the slot alone, whatever is served there. */
  readonly folder: string;
  readonly python: string;
  /** Folder of the Python package. */
  readonly trainerPath: string;
  readonly lifeline: string;
  readonly signal: AbortSignal;
  /** Gets a line for each request. Default: none. */
  readonly accessLog?: string;
  /** Milliseconds between two looks and for an answer; so many misses in a row are a hung server. */
  readonly health?: { readonly every: number; readonly timeout: number; readonly misses: number };
  /** Milliseconds from SIGTERM to SIGKILL. Default: 5,000. */
  readonly grace?: number;
}

const HEALTH = { every: 2_000, timeout: 2_000, misses: 5 };
/** Milliseconds that a start may take: the largest models load for minutes. */
const START_WITHIN = 1_800_000;
const LOOK_EVERY = 50;

export class ModelServer {
  readonly #options: ServerOptions;
  readonly #task: Task;
  readonly #log: string;
  readonly #ended = new AbortController();
  readonly #failed = fresh<never>();
  readonly #running: Promise<void>;
  #up = fresh<Endpoint>();
  #answering = false;
  #child: Child | undefined;
  #identity: Ready | undefined;

  private constructor(options: ServerOptions) {
    this.#options = options;
    const { key, attempt, folder } = options;
    this.#task = { kind: 'serve', key, attempt, folder, warm: warmth(options) };
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

  /** Where it answers; waits while it is down. Rejects as `failed` does, or when `signal` aborts. */
  endpoint(signal: AbortSignal): Promise<Endpoint> {
    return abortable(this.#up.promise, signal);
  }

  /** Rejects when the server is given up (CrashLoop, or what its exit code means) or was stopped; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** What answers: engine, version, number format. */
  get identity(): Ready {
    return this.#identity!;
  }

  /** Ends it with all its processes. */
  async stop(): Promise<void> {
    await this.#end();
    if (this.#child) await this.#options.slot.stop(this.#child, this.#options.grace);
  }

  /** Leaves it on its slot for another task, if it answers; ends it otherwise. */
  async park(): Promise<void> {
    const sound = this.#answering;
    await this.#end();
    if (!this.#child) return;
    await (sound ? this.#options.slot.park(this.#child) : this.#options.slot.stop(this.#child, this.#options.grace));
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
      crashes.add('The model server', how, this.#log);
    }
  }

  async #launch(): Promise<Child> {
    const { slot, models, slots, threads, folder, python, trainerPath, lifeline, accessLog } = this.#options;
    const file = (name: string) => join(folder, name);
    const key = randomBytes(32).toString('base64url');
    const spec: ServeSpec = {
      version: 1,
      models,
      host: '127.0.0.1',
      port: 0,
      ready: file('ready.json'),
      slots,
      threads: threads ?? availableParallelism(),
      accessLog: accessLog ?? null,
    };
    await Promise.all([rm(spec.ready, { force: true }), rm(file('key'), { force: true })]);
    await writeFile(file('key'), key, { mode: 0o600 });
    await writeFile(file('serve.json'), JSON.stringify(spec));
    return slot.launch(this.#task, {
      command: [python, '-m', 'backspin_trainer', 'serve', '--spec', file('serve.json')],
      env: { PYTHONPATH: trainerPath, BACKSPIN_SERVE_KEY: key },
      lifeline,
      log: this.#log,
    });
  }

  /** Offers the child's endpoint while it answers; says how it was lost. Throws where its exit code says what is wrong. */
  async #attend(child: Child, adopted: boolean): Promise<string> {
    const gone = new AbortController();
    void child.exited.then(() => gone.abort());
    const signal = AbortSignal.any([this.#ended.signal, gone.signal]);
    try {
      const endpoint = await this.#announced(signal);
      let answers = await this.#answers(endpoint, signal);
      if (adopted && answers) {
        const refusal = await this.#load(endpoint, signal);
        if (refusal) return `because it did not take other models: ${refusal}`;
      }
      this.#answering = answers;
      if (answers) this.#up.resolve(endpoint);
      while (answers) {
        await delay((this.#options.health ?? HEALTH).every, undefined, { signal });
        answers = await this.#answers(endpoint, signal);
      }
      return 'because it did not answer any more';
    } catch (error) {
      this.#ended.signal.throwIfAborted();
      if (!gone.signal.aborted) throw error;
      const code = await child.exited;
      const meaning = meaningOf(code, this.#log);
      if (meaning) throw meaning;
      return described(code);
    } finally {
      if (this.#answering) this.#up = fresh();
      this.#answering = false;
    }
  }

  /** Waits for the ready file. */
  async #announced(signal: AbortSignal): Promise<Endpoint> {
    const { folder } = this.#options;
    for (const end = performance.now() + START_WITHIN; performance.now() < end; await delay(LOOK_EVERY, undefined, { signal })) {
      const text = await readFile(join(folder, 'ready.json'), 'utf8').catch(() => undefined);
      if (text !== undefined) {
        this.#identity = ready.parse(JSON.parse(text));
        return { url: `http://127.0.0.1:${this.#identity.port}`, key: await readFile(join(folder, 'key'), 'utf8') };
      }
    }
    throw new BackspinError('Down', `The model server did not start within ${START_WITHIN / 60_000} minutes; its log is ${this.#log}.`);
  }

  /** Has an adopted server serve our models, which it may do already. Gives what it says when it refuses. */
  async #load({ url, key }: Endpoint, signal: AbortSignal): Promise<string | undefined> {
    const response = await fetch(`${url}/models`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(this.#options.models),
      signal,
    });
    return response.ok ? undefined : `${response.status} ${await response.text()}`;
  }

  /** Asks for its health until it answers, or has not so many times in a row. */
  async #answers({ url }: Endpoint, signal: AbortSignal): Promise<boolean> {
    const { every, timeout, misses } = this.#options.health ?? HEALTH;
    for (let miss = 0; miss < misses; miss++) {
      if (miss > 0) await delay(every, undefined, { signal });
      try {
        const response = await fetch(`${url}/health`, { signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]) });
        await response.body?.cancel();
        if (response.ok) return true;
      } catch {
        signal.throwIfAborted();
      }
    }
    return false;
  }
}

/** What no running server can change. */
export const warmth = ({ slots, threads, python }: Pick<ServerOptions, 'slots' | 'threads' | 'python'>): string =>
  JSON.stringify(['embedded', slots, threads, python]);

/** A promise and its ends; perhaps nobody asks for it. */
function fresh<T>(): PromiseWithResolvers<T> {
  const made = Promise.withResolvers<T>();
  made.promise.catch(() => {});
  return made;
}
