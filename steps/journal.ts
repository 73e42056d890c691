/** Appends every reply and every finished record of a batch to a file. A resumed batch never asks again what the journal holds. Opening the
 *  journal cuts off an incomplete last line. */
import { closeSync, fdatasync, ftruncateSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';
import { addUses, type TokenUses } from '../schemas/steps.ts';
import { triggerPoint } from './trigger-points.ts';

/** A finished record: the records that each operator of the chain kept, and the drops. */
export interface Done {
  /** Kept records of this source, by operator of the chain. */
  readonly kept: readonly (readonly { readonly id: string; readonly from: readonly string[]; readonly value: unknown }[])[];
  readonly dropped: readonly {
    readonly op: number;
    readonly id: string;
    readonly reason: string;
    readonly evidence: string | null;
    readonly value: unknown;
  }[];
}

/** Identifies a call: `r` is its operator and record, `n` a hash of the request and the number of equal earlier ones. */
export interface CallName {
  readonly r: string;
  readonly n: string;
}
const keyOf = ({ r, n }: CallName) => `${r}#${n}`;

/** A reply of the model in `role`. Journals of an earlier version have neither this nor the tokens that it wrote. `tokens` comes last: whoever
 *  counts a running step reads the end of the line. */
interface Answered {
  readonly reply: unknown;
  readonly role?: string;
  readonly written?: number;
  readonly tokens: number;
}

type Line =
  | (CallName & Answered)
  /** The call `of` failed while the server answered others: kind of failure, and message. */
  | (CallName & { of: string; failed: string; said: string })
  | { r: string; /** Made by its operators, if any. */ attempts?: number; done: Done };

const sync = promisify(fdatasync);

/** Milliseconds between two syncs. After a power failure at most this much work is repeated; a kill loses nothing. */
const SYNC_EVERY = 1000;

export class Journal {
  readonly #fd: number;
  readonly #calls = new Map<string, Answered>();
  readonly #done = new Map<string, Done>();
  readonly #failures = new Map<string, Map<string, number>>();
  readonly #timer: NodeJS.Timeout;
  #dirty = false;
  /** Lines of this turn of the event loop. */
  #lines: string[] = [];
  /** Resolves once they are in the file. */
  #written: PromiseWithResolvers<void> | undefined;
  #syncing: Promise<void> | undefined;
  #failure: Error | undefined;
  readonly #earlier: EarlierReplies | undefined;
  /** Attempts that operators made at finished records, in all attempts of the batch. */
  attempts = 0;

  /** Throws `ArtifactDamaged` if a line before the last is incomplete. */
  static async open(path: string, earlier?: EarlierReplies): Promise<Journal> {
    await mkdir(dirname(path), { recursive: true });
    return new Journal(path, earlier);
  }

  private constructor(path: string, earlier?: EarlierReplies) {
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
      else this.#calls.set(keyOf(line), answeredOf(line));
      at = next + 1;
    }
    this.#timer = setInterval(() => void this.#sync(), SYNC_EVERY);
    this.#timer.unref();
  }

  done(record: string): Done | undefined {
    return this.#done.get(record);
  }
  /** Answered calls in all attempts of the batch. */
  get requests(): number {
    return this.#calls.size;
  }
  get tokens(): number {
    return this.#calls.values().reduce((sum, call) => sum + call.tokens, 0);
  }

  get uses(): TokenUses {
    let uses: TokenUses = {};
    for (const { role, written = 0, tokens } of this.#calls.values())
      if (role !== undefined) uses = addUses(uses, { [role]: { requests: 1, read: tokens - written, written } });
    return uses;
  }

  /** Returns the journaled reply of a call, from this or an earlier start, or else calls `ask`. */
  async call<T>(name: CallName, ask: () => Promise<Answered & { readonly reply: T }>): Promise<T> {
    const key = keyOf(name);
    const known = this.#calls.get(key);
    if (known) return known.reply as T;
    const answer = (this.#earlier?.reply(key) as (Answered & { readonly reply: T }) | undefined) ?? (await ask());
    this.#calls.set(key, answer);
    await this.#append({ ...name, ...answer });
    const held = triggerPoint('record: after a reply');
    if (held) await held;
    return answer.reply;
  }
  /** Records that a call failed while the server answered others. Returns how often it has failed in this way, in all attempts of the
   *  batch. */
  failed(name: CallName, failed: string, said: string): number {
    const times = this.#count(name, failed);
    const line = { r: name.r, n: `${name.n}/${failed}/${times}`, of: name.n, failed, said };
    this.#append(line).catch(() => {}); // nothing is accepted after an error
    return times;
  }
  /** How often a call has failed while the server answered others. */
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
  /** Resolves once the record is in the file. `attempts`: those that operators made at it. */
  async finish(record: string, done: Done, attempts: number): Promise<void> {
    this.#keep(record, done, attempts);
    await this.#append({ r: record, ...(attempts > 0 && { attempts }), done });
  }
  #keep(record: string, done: Done, attempts = 0): void {
    this.#done.set(record, done);
    this.attempts += attempts;
  }

  /** Resolves once the line is in the file: lines of one turn of the event loop are written together. Rejects on a full disk, and the
   *  journal then accepts nothing more. */
  #append(line: Line): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#lines.push(`${JSON.stringify(line)}\n`);
    if (!this.#written) {
      this.#written = Promise.withResolvers();
      setImmediate(() => this.#write());
    }
    return this.#written.promise;
  }
  /** Opening the journal again cuts off a line that a full disk has left incomplete. */
  #write(): void {
    if (!this.#written) return;
    const bytes = Buffer.from(this.#lines.join(''));
    const written = this.#written;
    [this.#lines, this.#written] = [[], undefined];
    try {
      if (this.#failure) throw this.#failure;
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at); // usually one write, so lines of two writers never mix
      this.#dirty = true;
      written.resolve();
    } catch (error) {
      this.#failure = error as Error;
      written.reject(error);
    }
  }
  /** Runs in the background, so a slow disk does not delay replies. After an error the journal accepts nothing more. */
  async #sync(): Promise<void> {
    await this.#syncing;
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#syncing = sync(this.#fd).catch((error: unknown) => void (this.#failure ??= error as Error));
    await this.#syncing;
  }
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#write();
    await this.#sync();
    // With concurrent calls a record may finish before one of its calls is answered; by then the file descriptor may belong to another file.
    this.#failure ??= new Error('the journal is closed');
    closeSync(this.#fd);
  }
}

/** Positions of the replies in journals of earlier starts of a step, which began at another operator. Reads a reply only when it is needed.
 */
export class EarlierReplies {
  readonly #places = new Map<string, { readonly path: string; readonly at: number; readonly bytes: number }>();

  /** `batches` holds a folder for each start of the step; `own` is this start, whose journals are skipped. */
  constructor(batches: string, own: string) {
    for (const start of foldersIn(batches))
      if (start !== own) for (const name of journalsIn(join(batches, start)) ?? []) this.#index(join(batches, start, name));
  }

  reply(call: string): Answered | undefined {
    const place = this.#places.get(call);
    if (!place) return undefined;
    const bytes = Buffer.alloc(place.bytes);
    const file = openSync(place.path, 'r');
    try {
      readSync(file, bytes, 0, bytes.length, place.at);
    } finally {
      closeSync(file);
    }
    return answeredOf(JSON.parse(bytes.toString()) as Answered);
  }

  #index(path: string): void {
    const bytes = readFileSync(path);
    for (let at = 0, end; (end = bytes.indexOf(0x0a, at)) !== -1; at = end + 1) {
      const line = parsed(bytes.toString('utf8', at, end));
      if (line && 'reply' in line) this.#places.set(keyOf(line), { path, at, bytes: end - at });
    }
  }
}

const answeredOf = ({ reply, role, written, tokens }: Answered): Answered => ({
  reply,
  ...(role !== undefined && { role }),
  ...(written !== undefined && { written }),
  tokens,
});

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
