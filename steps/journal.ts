/**
 * What a batch has done so far, appended as it happens: one line for each answered call and each finished record. What is
 * journaled is never asked again; a torn last line is cut off when the journal is opened.
 */
import { closeSync, fdatasync, ftruncateSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';
import { triggerPoint } from './trigger-points.ts';

/** A finished record: what each operator of the chain kept of it, and why it was dropped where it was. */
export interface Done {
  /** By operator of the chain: the records it kept, of this source. */
  readonly kept: readonly (readonly { readonly id: string; readonly from: readonly string[]; readonly value: unknown }[])[];
  readonly dropped: readonly {
    readonly op: number;
    readonly id: string;
    readonly reason: string;
    readonly evidence: string | null;
    readonly value: unknown;
  }[];
}

/** A call: whose; and a hash of what it asks, with how many equal ones went before. */
export interface CallName {
  readonly r: string;
  readonly n: string;
}
const keyOf = ({ r, n }: CallName) => `${r}#${n}`;

type Line =
  | (CallName & { reply: unknown; tokens: number })
  /** The call `of` failed by itself: what kind of failure, and what was said. */
  | (CallName & { of: string; failed: string; said: string })
  | { r: string; /** That its operators made, if any. */ attempts?: number; done: Done };

const sync = promisify(fdatasync);

/** Milliseconds between two syncs: at most this much work is asked again after a power failure. A kill loses nothing. */
const SYNC_EVERY = 1000;

export class Journal {
  readonly #fd: number;
  readonly #calls = new Map<string, { reply: unknown; tokens: number }>();
  readonly #done = new Map<string, Done>();
  readonly #failures = new Map<string, Map<string, number>>();
  readonly #timer: NodeJS.Timeout;
  #dirty = false;
  #syncing: Promise<void> | undefined;
  #torn: Error | undefined;
  readonly #earlier: Earlier | undefined;
  /** That operators made at finished records, in this attempt of the batch and those before it. */
  attempts = 0;

  /** Throws `ArtifactDamaged` where a line within is not whole. */
  static async open(path: string, earlier?: Earlier): Promise<Journal> {
    await mkdir(dirname(path), { recursive: true });
    return new Journal(path, earlier);
  }

  private constructor(path: string, earlier?: Earlier) {
    this.#earlier = earlier;
    this.#fd = openSync(path, 'a+');
    const bytes = readFileSync(path);
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end < bytes.length) ftruncateSync(this.#fd, end);
    for (let at = 0; at < end;) {
      const next = bytes.indexOf(0x0a, at);
      const line = parsed(bytes.toString('utf8', at, next));
      if (!line) {
        closeSync(this.#fd);
        throw new BackspinError(
          'ArtifactDamaged',
          `${path} has a line that is no entry of a journal: delete the file and retry the step; what it held is asked again.`,
        );
      }
      if ('done' in line) this.#keep(line.r, line.done, line.attempts);
      else if ('failed' in line) this.#count({ r: line.r, n: line.of }, line.failed);
      else this.#calls.set(keyOf(line), { reply: line.reply, tokens: line.tokens });
      at = next + 1;
    }
    this.#timer = setInterval(() => void this.#sync(), SYNC_EVERY);
    this.#timer.unref();
  }

  done(record: string): Done | undefined {
    return this.#done.get(record);
  }
  /** Calls answered and journaled, by this attempt and those before it. */
  get requests(): number {
    return this.#calls.size;
  }
  get tokens(): number {
    return this.#calls.values().reduce((sum, call) => sum + call.tokens, 0);
  }

  /** The reply to a call: the one journaled, here or earlier, or `ask` now. */
  async call<T>(name: CallName, ask: () => Promise<{ reply: T; tokens: number }>): Promise<T> {
    const key = keyOf(name);
    const known = this.#calls.get(key);
    if (known) return known.reply as T;
    const answer = (this.#earlier?.reply(key) as { reply: T; tokens: number } | undefined) ?? (await ask());
    this.#calls.set(key, answer);
    this.#append({ ...name, ...answer });
    const held = triggerPoint('record: after a reply');
    if (held) await held;
    return answer.reply;
  }
  /** Notes that a call failed by itself; gives how often it did so in this way, by this attempt and those before it. */
  failed(name: CallName, failed: string, said: string): number {
    const times = this.#count(name, failed);
    this.#append({ r: name.r, n: `${name.n}/${failed}/${times}`, of: name.n, failed, said });
    return times;
  }
  /** How often a call failed by itself. */
  failures(name: CallName): number {
    if (this.#failures.size === 0) return 0;
    const kinds = this.#failures.get(keyOf(name));
    return kinds ? kinds.values().reduce((sum, times) => sum + times, 0) : 0;
  }
  #count(name: CallName, failed: string): number {
    const kinds = this.#failures.get(keyOf(name)) ?? new Map<string, number>();
    this.#failures.set(keyOf(name), kinds);
    const times = (kinds.get(failed) ?? 0) + 1;
    kinds.set(failed, times);
    return times;
  }
  /** `attempts`: those that operators made at it. */
  finish(record: string, done: Done, attempts: number): void {
    this.#keep(record, done, attempts);
    this.#append({ r: record, ...(attempts > 0 && { attempts }), done });
  }
  #keep(record: string, done: Done, attempts = 0): void {
    this.#done.set(record, done);
    this.attempts += attempts;
  }

  /** Throws when the disk is full, and takes nothing more then: what it could write of a line is cut off when it is opened again. */
  #append(line: Line): void {
    if (this.#torn) throw this.#torn;
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at); // mostly one write: two writers never mix their lines
    } catch (error) {
      this.#torn = error as Error;
      throw error;
    }
    this.#dirty = true;
  }
  /** Beside the work: a slow disk must not keep replies waiting. Where it fails nothing more is taken. */
  async #sync(): Promise<void> {
    await this.#syncing;
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#syncing = sync(this.#fd).catch((error: unknown) => void (this.#torn ??= error as Error));
    await this.#syncing;
  }
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sync();
    // Of calls made at once one may end its record before another is answered; the number of the file may be another file's by then.
    this.#torn ??= new Error('the journal is closed');
    closeSync(this.#fd);
  }
}

/** Replies in the journals of a step that began elsewhere in its chain: where they stand, so that few of them are in memory. */
export class Earlier {
  readonly #places = new Map<string, { readonly path: string; readonly at: number; readonly bytes: number }>();

  /** `batches` holds a folder for each start of the step; the journals of `own` are left out. */
  constructor(batches: string, own: string) {
    for (const start of foldersIn(batches))
      if (start !== own) for (const name of journalsIn(join(batches, start)) ?? []) this.#index(join(batches, start, name));
  }

  reply(call: string): { readonly reply: unknown; readonly tokens: number } | undefined {
    const place = this.#places.get(call);
    if (!place) return undefined;
    const bytes = Buffer.alloc(place.bytes);
    const file = openSync(place.path, 'r');
    try {
      readSync(file, bytes, 0, bytes.length, place.at);
    } finally {
      closeSync(file);
    }
    const { reply, tokens } = JSON.parse(bytes.toString()) as { reply: unknown; tokens: number };
    return { reply, tokens };
  }

  #index(path: string): void {
    const bytes = readFileSync(path);
    for (let at = 0, end; (end = bytes.indexOf(0x0a, at)) !== -1; at = end + 1) {
      const line = parsed(bytes.toString('utf8', at, end));
      if (line && 'reply' in line) this.#places.set(keyOf(line), { path, at, bytes: end - at });
    }
  }
}

function foldersIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}
function journalsIn(folder: string): string[] | undefined {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
  } catch {
    return undefined;
  }
}

function parsed(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as object | null;
    return line && 'r' in line && ('done' in line || 'reply' in line || 'failed' in line) ? (line as Line) : undefined;
  } catch {
    return undefined;
  }
}
