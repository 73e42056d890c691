/** Keeps one part of `up` alive: starts it, reports when it is ready, restarts it with back-off, and stops it. */
import { randomUUID } from 'node:crypto';
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Subprocess } from '../devices/subprocess.ts';
import { putAside } from '../devices/logs.ts';
import { BackspinError } from '../schemas/errors.ts';

const FIRST_BACKOFF = 200;
const LAST_BACKOFF = 10_000;
/** Milliseconds after which a part counts as stable, and its back-off starts anew. */
const STABLE_AFTER = 30_000;
/** Milliseconds for the first start: a busy machine needs minutes. */
const START_TIMEOUT = 300_000;
/** Milliseconds after which a first start says that it takes long. */
const SLOW_START = 30_000;

export interface Part {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Environment of the part. Default: only the variables that it needs. */
  readonly inherits?: 'all' | 'needed';
  readonly log: string;
  /** Own folder for the launcher's files. */
  readonly folder: string;
  /** Pipe that closes when this process dies; then the part ends too. */
  readonly lifeline: string;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly grace: number;
  /** Resolves once a part that has just started works. Default: once it prints `{"ready":true}`. */
  readonly answers?: (signal: AbortSignal) => Promise<void>;
  readonly health?: Health;
}

/** Health check of a running part: it may answer every request with an error until it is restarted. */
export interface Health {
  /** Rejects if the part does not work. */
  readonly check: () => Promise<void>;
  /** Milliseconds between two checks. */
  readonly every: number;
  /** Milliseconds without a successful check after which the part is restarted. */
  readonly patience: number;
}

export class Supervised {
  readonly part: Part;
  /** Resolves when the part works for the first time. Rejects with a sentence if it ends before that, or takes too long. */
  readonly ready: Promise<void>;
  readonly #stopping = new AbortController();
  readonly #over: Promise<void>;
  #subprocess: Subprocess | undefined;

  constructor(part: Part) {
    this.part = part;
    mkdirSync(part.folder, { recursive: true });
    const first = Promise.withResolvers<void>();
    this.ready = first.promise;
    this.ready.catch(() => {}); // avoid an unhandled rejection: the caller may still be waiting for another part
    this.#over = this.#keep(first.resolve, first.reject);
  }

  /** Stops the part for good: SIGTERM, then SIGKILL after the grace period. Resolves when all its processes are gone. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#subprocess?.stop(this.part.grace);
    await this.#over;
  }

  async #keep(ready: () => void, failed: (error: unknown) => void): Promise<void> {
    const { name } = this.part;
    const { signal } = this.#stopping;
    for (let worked = false, backoff = FIRST_BACKOFF; ; backoff = Math.min(2 * backoff, LAST_BACKOFF)) {
      const began = performance.now();
      const started = await this.#start().catch((error: unknown) => error as Error);
      if (started instanceof Error) {
        const why = `The ${name} cannot be started (${started.message})`;
        if (!worked) return failed(new BackspinError('ServerDown', `${why}: free what it needs, then run this again.`));
        console.error(
          `${now()} ${why}; it is tried again in ${backoff} ms. Where it stays so, \`backspin down\` and \`backspin up\` begin anew.`,
        );
        await wait(backoff, undefined, { signal }).catch(() => {});
        if (signal.aborted) return;
        continue;
      }
      const { from, subprocess } = started;
      this.#subprocess = subprocess;
      if (signal.aborted) await subprocess.stop(this.part.grace);
      const ended = new AbortController();
      const slow = setTimeout(() => !worked && this.#say(`is not ready yet; it is given ${START_TIMEOUT / 1000} s`), SLOW_START);
      const late = worked ? ended.signal : AbortSignal.any([ended.signal, AbortSignal.timeout(START_TIMEOUT)]);
      const works = this.#works(from, late).then(
        () => {
          worked = true;
          ready();
        },
        (error: unknown) => {
          if (!ended.signal.aborted) failed(late.aborted ? this.#sentence(`was not ready within ${START_TIMEOUT / 1000} s`, from) : error);
        },
      );
      const healed = works.then(() => this.#watch(subprocess, ended.signal));
      const code = await subprocess.exited;
      ended.abort();
      clearTimeout(slow);
      await healed;
      if (signal.aborted) return;
      if (!worked) return failed(this.#sentence(`ended ${describeExit(code)} before it was ready`, from));
      await this.#end(subprocess, 0); // otherwise its remaining processes would run beside the new ones
      if (signal.aborted) return;
      if (performance.now() - began > STABLE_AFTER) backoff = FIRST_BACKOFF;
      this.#say(`ended ${describeExit(code)}; it is started again in ${backoff} ms`);
      await wait(backoff, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
    }
  }

  /** `from`: offset in the log where the output of this start begins. */
  async #start(): Promise<{ readonly from: number; readonly subprocess: Subprocess }> {
    putAside(this.part.log);
    return { from: sizeOf(this.part.log), subprocess: await Subprocess.launch(randomUUID(), this.part) };
  }

  /** Stops a subprocess that lives but no longer works. */
  async #watch(child: Subprocess, signal: AbortSignal): Promise<void> {
    const { health, grace } = this.part;
    if (!health) return;
    for (let worked = performance.now(); !signal.aborted;) {
      await wait(health.every, undefined, { signal }).catch(() => {});
      const failed = await health.check().then(
        () => false,
        () => true,
      );
      if (!failed) worked = performance.now();
      else if (!signal.aborted && performance.now() - worked > health.patience) {
        this.#say(`runs, but has not worked for ${Math.round(health.patience / 1000)} s; it is stopped and started again`);
        return this.#end(child, grace);
      }
    }
  }

  /** Stops all processes of a subprocess, however long that takes, or until the part is stopped for good. */
  async #end(child: Subprocess, grace: number): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const stopped = await child.stop(grace).catch((error: unknown) => error as Error);
      if (!(stopped instanceof Error)) return;
      this.#say(`cannot be stopped (${stopped.message}); it is tried again in ${LAST_BACKOFF} ms`);
      await wait(LAST_BACKOFF, undefined, { signal }).catch(() => {});
    }
  }

  async #works(from: number, signal: AbortSignal): Promise<void> {
    if (this.part.answers) return this.part.answers(signal);
    const isReady = () => textOf(this.part.log, from).includes('{"ready":true}');
    while (!isReady()) {
      await wait(50, undefined, { signal }).catch((error: unknown) => {
        if (!isReady()) throw error; // otherwise the part was ready and has ended since
      });
    }
  }

  #say(what: string): void {
    console.error(`${now()} the ${this.part.name} ${what}`);
  }

  #sentence(what: string, from: number): BackspinError {
    const { name, log } = this.part;
    const lines = textOf(log, from).trimEnd().split('\n').slice(-8);
    return new BackspinError('ServerDown', `The ${name} ${what}. The end of ${log}:\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
}

const now = () => new Date().toISOString();
const describeExit = (code: number | null) => (code === null ? 'by a signal' : `with exit code ${code}`);

function sizeOf(file: string): number {
  const handle = openSync(file, 'a');
  try {
    return fstatSync(handle).size;
  } finally {
    closeSync(handle);
  }
}

/** Returns the content of a file after `from`, at most the last 64 KB. */
export function textOf(file: string, from: number): string {
  const handle = openSync(file, 'r');
  try {
    const { size } = fstatSync(handle);
    const begin = Math.max(from, size - 65_536);
    const bytes = Buffer.alloc(Math.max(0, size - begin));
    readSync(handle, bytes, 0, bytes.length, begin);
    return bytes.toString();
  } finally {
    closeSync(handle);
  }
}
