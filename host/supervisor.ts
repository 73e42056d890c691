/** Keeps one part of `up` alive: starts it, says when it is ready, starts it again with back-off when it ends, stops it. */
import { randomUUID } from 'node:crypto';
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Child } from '../devices/child.ts';
import { putAside } from '../devices/logs.ts';
import { BackspinError } from '../schemas/errors.ts';

const FIRST_BACKOFF = 200;
const LAST_BACKOFF = 10_000;
/** Milliseconds of life after which a part counts as sound, and its back-off begins anew. */
const SOUND = 30_000;
/** Milliseconds in which a first start must succeed. */
const PATIENCE = 60_000;

export interface Part {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Default: what it needs of our environment. */
  readonly inherits?: 'all' | 'needed';
  readonly log: string;
  /** Its own, for the launcher. */
  readonly folder: string;
  /** Pipe at whose end (our death) the part ends. */
  readonly lifeline: string;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly grace: number;
  /** Resolves once a part that was just started works. Default: when it says `{"ready":true}`. */
  readonly answers?: (signal: AbortSignal) => Promise<void>;
  readonly health?: Health;
}

/** Whether a part that lives still works: it may answer every request with an error until it is started again. */
export interface Health {
  /** Rejects where it does not. */
  readonly check: () => Promise<void>;
  /** Milliseconds between two checks. */
  readonly every: number;
  /** Milliseconds without one success after which it is started again. */
  readonly patience: number;
}

export class Supervised {
  readonly part: Part;
  /** Resolves when it works for the first time. Rejects with a sentence when it ends before, or takes too long. */
  readonly ready: Promise<void>;
  readonly #stopping = new AbortController();
  readonly #over: Promise<void>;
  #child: Child | undefined;

  constructor(part: Part) {
    this.part = part;
    mkdirSync(part.folder, { recursive: true });
    const first = Promise.withResolvers<void>();
    this.ready = first.promise;
    this.ready.catch(() => {}); // its user may be waiting for another part just now
    this.#over = this.#keep(first.resolve, first.reject);
  }

  /** Ends it for good: SIGTERM, and SIGKILL after its grace. Resolves when all of it is gone. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#child?.stop(this.part.grace);
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
      const { from, child } = started;
      this.#child = child;
      if (signal.aborted) await child.stop(this.part.grace);
      const ended = new AbortController();
      const late = worked ? ended.signal : AbortSignal.any([ended.signal, AbortSignal.timeout(PATIENCE)]);
      const works = this.#works(from, late).then(
        () => {
          worked = true;
          ready();
        },
        (error: unknown) => {
          if (!ended.signal.aborted) failed(late.aborted ? this.#sentence(`was not ready within ${PATIENCE / 1000} s`, from) : error);
        },
      );
      const healed = works.then(() => this.#watch(child, ended.signal));
      const code = await child.exited;
      ended.abort();
      await healed;
      if (signal.aborted) return;
      if (!worked) return failed(this.#sentence(`ended ${how(code)} before it was ready`, from));
      await child.stop(0); // what it left behind would work beside its successor
      if (performance.now() - began > SOUND) backoff = FIRST_BACKOFF;
      console.error(`${now()} the ${name} ended ${how(code)}; it is started again in ${backoff} ms`);
      await wait(backoff, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
    }
  }

  /** `from`: where its words begin in the log. */
  async #start(): Promise<{ readonly from: number; readonly child: Child }> {
    putAside(this.part.log);
    return { from: sizeOf(this.part.log), child: await Child.launch(randomUUID(), this.part) };
  }

  /** Ends a child that lives and works no more. */
  async #watch(child: Child, signal: AbortSignal): Promise<void> {
    const { health, name, grace } = this.part;
    if (!health) return;
    for (let worked = performance.now(); !signal.aborted;) {
      await wait(health.every, undefined, { signal }).catch(() => {});
      const failed = await health.check().then(
        () => false,
        () => true,
      );
      if (!failed) worked = performance.now();
      else if (!signal.aborted && performance.now() - worked > health.patience) {
        console.error(
          `${now()} the ${name} runs, but has not worked for ${Math.round(health.patience / 1000)} s; it is stopped and started again`,
        );
        return child.stop(grace);
      }
    }
  }

  async #works(from: number, signal: AbortSignal): Promise<void> {
    if (this.part.answers) return this.part.answers(signal);
    const said = () => textOf(this.part.log, from).includes('{"ready":true}');
    while (!said()) {
      await wait(50, undefined, { signal }).catch((error: unknown) => {
        if (!said()) throw error; // else it worked, and has ended since
      });
    }
  }

  #sentence(what: string, from: number): BackspinError {
    const { name, log } = this.part;
    const lines = textOf(log, from).trimEnd().split('\n').slice(-8);
    return new BackspinError('ServerDown', `The ${name} ${what}. The end of ${log}:\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
}

const now = () => new Date().toISOString();
const how = (code: number | null) => (code === null ? 'by a signal' : `with exit code ${code}`);

function sizeOf(file: string): number {
  const handle = openSync(file, 'a');
  try {
    return fstatSync(handle).size;
  } finally {
    closeSync(handle);
  }
}

/** The last 64 KB, at most, of what a file has from `from` on. */
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
