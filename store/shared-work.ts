/** Scratch of running steps that other hosts see: journals, batch results and progress. So another host goes on where one was lost, and a
 *  step may run on several hosts at once. Each host writes journals of its own name; of two results of a batch the first stands. */
import { appendFile, mkdir, readFile, rm, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ifThere, isThere, linesFrom, writeAtomic } from './files.ts';
import type { S3Blobs } from './s3-blobs.ts';
import type { S3Object } from './s3-client.ts';

/** Milliseconds between two pushes of a journal, and between two pulls of a step that is watched. With a host, at most the replies of this
 *  time and of one request to the S3 server are lost. */
export const SHARE_EVERY = 3_000;

/** `JOURNAL.jsonl/HOST/OFFSET`: lines that a host has appended to its journal. */
const SEGMENT = /^(.*\.jsonl)\/([0-9a-f]{8})\/(\d+)$/;

export interface Pull {
  /** No other process of this host writes to these journals. */
  readonly mine?: boolean;
  /** False: only results. */
  readonly journals?: boolean;
  /** A folder whose files are not wanted. */
  readonly except?: string;
}

/** A journal that reaches the store while it grows. */
export interface FollowedJournal extends Disposable {
  /** Resolves once all of it is in the store. */
  push(): Promise<void>;
}

export class SharedWork {
  readonly #blobs: S3Blobs;
  /** This host, in the names of its journals. */
  readonly host: string;
  /** Objects that were pulled, by key. */
  readonly #seen = new Map<string, string>();
  /** Bytes of this host's journals in the store, by path. */
  readonly #pushed = new Map<string, number>();
  readonly #pulled = new Map<string, { at: number; done: Promise<void> }>();

  constructor(blobs: S3Blobs, host: string) {
    this.#blobs = blobs;
    this.host = host;
  }

  /** Brings what other hosts have written below a folder, or to a journal. */
  async pull(path: string, { mine = false, journals: wanted = true, except }: Pull = {}): Promise<void> {
    const objects = await this.#blobs.client.list(`${this.#blobs.keyOf(path)}/`);
    const left = except === undefined ? undefined : `${this.#blobs.keyOf(except)}/`;
    const journals = new Map<string, S3Object[]>();
    for (const object of objects) {
      if (left !== undefined && object.key.startsWith(left)) continue;
      const [, journal, host, offset] = SEGMENT.exec(object.key) ?? [];
      if (journal === undefined) await this.#pullFile(object);
      else if (!wanted) continue;
      else if (host !== this.host) journals.set(journal, [...(journals.get(journal) ?? []), object]);
      else this.#notePushed(journal, Number(offset) + object.bytes);
    }
    for (const [journal, segments] of journals) await this.#merge(join(this.#blobs.paths.root, journal), segments, mine);
  }

  /** Likewise, but at most every few seconds: for counts that may be that old. */
  async pullNow(path: string): Promise<void> {
    const last = this.#pulled.get(path);
    if (last && performance.now() - last.at < SHARE_EVERY) return last.done;
    const done = this.pull(path);
    this.#pulled.set(path, { at: performance.now(), done });
    done.catch(() => this.#pulled.delete(path));
    return done;
  }

  /** Stores a journal every few seconds. While the store does not answer, the journal waits on this host. */
  followJournal(path: string): FollowedJournal {
    let pushing: Promise<void> = Promise.resolve();
    const push = () => (pushing = pushing.catch(() => {}).then(() => this.#pushJournal(path)));
    const timer = setInterval(() => void push().catch(() => {}), SHARE_EVERY);
    timer.unref();
    return { push, [Symbol.dispose]: () => clearInterval(timer) };
  }
  /** Stores the lines that were appended since the last push. */
  async #pushJournal(path: string): Promise<void> {
    const from = this.#pushed.get(path) ?? 0;
    const { lines, end } = linesFrom(path, from);
    if (lines.length === 0) return;
    const key = `${this.#blobs.keyOf(path)}/${this.host}/${String(from).padStart(12, '0')}`;
    await this.#blobs.client.put(key, Buffer.from(`${lines.join('\n')}\n`));
    this.#pushed.set(path, end);
  }

  /** Stores a file of the scratch that only this host writes, under this host's name. */
  async pushOwn(path: string): Promise<void> {
    const bytes = await ifThere(readFile(path));
    if (bytes) await this.#blobs.client.put(`${this.#blobs.keyOf(path)}@${this.host}`, bytes);
  }

  /** Stores a file of the scratch. Returns the text that stands: an earlier one of another host if `stands` says so. */
  async settle(path: string, text: string, stands: (other: string) => boolean): Promise<string> {
    if (await this.#blobs.putIfAbsent(path, text)) return text;
    const other = (await this.#blobs.read(path))?.toString();
    if (other !== undefined && stands(other)) return other;
    await this.#blobs.write(path, text);
    return text;
  }
  /** Brings a file of the scratch, if there is one. */
  async pullFile(path: string): Promise<void> {
    const bytes = await this.#blobs.read(path);
    if (bytes) await writeAtomic(path, bytes, this.#blobs.paths.temporary);
  }

  async clear(folder: string): Promise<void> {
    await this.#blobs.remove(folder);
  }

  #notePushed(journal: string, end: number): void {
    const path = join(this.#blobs.paths.root, journal);
    this.#pushed.set(path, Math.max(this.#pushed.get(path) ?? 0, end));
  }

  async #pullFile({ key, etag }: S3Object): Promise<void> {
    const path = join(this.#blobs.paths.root, key);
    if (this.#seen.get(key) === etag || key.endsWith(`@${this.host}`) || key.includes('/checkpoints/')) return;
    const bytes = await this.#blobs.client.get(key);
    if (bytes) await writeAtomic(path, bytes, this.#blobs.paths.temporary);
    this.#seen.set(key, etag);
  }

  /** Appends the lines of other hosts that the journal lacks. */
  async #merge(path: string, segments: readonly S3Object[], mine: boolean): Promise<void> {
    const fresh = segments.filter(({ key, etag }) => this.#seen.get(key) !== etag);
    if (fresh.length === 0) return;
    const own = (await ifThere(readFile(path, 'utf8'))) ?? '';
    const whole = own.slice(0, own.lastIndexOf('\n') + 1);
    if (whole.length < own.length) {
      if (!mine) return; // its writer is in the midst of a line
      await truncate(path, Buffer.byteLength(whole));
    }
    const known = new Set(whole.split('\n'));
    const lines: string[] = [];
    for (const { key } of fresh)
      for (const line of ((await this.#blobs.client.get(key))?.toString() ?? '').split('\n'))
        if (line !== '' && !known.has(line)) {
          known.add(line);
          lines.push(line);
        }
    await mkdir(dirname(path), { recursive: true });
    if (lines.length > 0) await appendFile(path, `${lines.join('\n')}\n`);
    for (const { key, etag } of fresh) this.#seen.set(key, etag);
  }

  /** Stores the checkpoint `step-N` of a training, once it is whole. Does nothing if the trainer has removed it meanwhile. */
  async pushCheckpoint(run: string, step: number, rows: string): Promise<void> {
    const folder = join(run, 'checkpoints', `step-${step}`);
    const place = `${this.#blobs.keyOf(dirname(run))}/checkpoints/${this.host}/step-${step}`;
    const seal = await ifThere(readFile(join(folder, SEAL), 'utf8'));
    if (seal === undefined) return;
    const events = await ifThere(readFile(join(run, 'events.jsonl')));
    const names = Object.keys(sealed(seal));
    for (const name of names) {
      if (!(await isThere(join(folder, name)))) return;
      await this.#blobs.client.upload(`${place}/files/${name}`, join(folder, name));
    }
    if (events) await this.#blobs.client.put(`${place}/events.jsonl`, events);
    await this.#blobs.client.put(`${place}/${SEAL}`, Buffer.from(JSON.stringify({ rows, seal })));
    const others = (await this.#blobs.client.list(`${dirname(place)}/`)).filter(({ key }) => !key.startsWith(`${place}/`));
    await this.#blobs.client.remove(others.map(({ key }) => key).filter((key) => stepIn(key) < step));
  }

  /** Brings the newest checkpoint that another host has stored for the same rows, if this host has no newer one. Returns its step. */
  async pullCheckpoint(run: string, newest: number, rows: string): Promise<number | undefined> {
    const objects = await this.#blobs.client.list(`${this.#blobs.keyOf(dirname(run))}/checkpoints/`);
    const seals = objects.filter(({ key }) => basename(key) === SEAL && stepIn(key) > newest && !key.includes('/files/'));
    for (const { key } of seals.toSorted((a, b) => stepIn(b.key) - stepIn(a.key))) {
      const note = JSON.parse((await this.#blobs.client.get(key))?.toString() ?? '{}') as { rows?: string; seal?: string };
      if (note.rows !== rows || note.seal === undefined) continue;
      if (await this.#bring(dirname(key), note.seal, run)) return stepIn(key);
    }
    return undefined;
  }

  async #bring(place: string, seal: string, run: string): Promise<boolean> {
    const folder = join(run, 'checkpoints', basename(place));
    await rm(folder, { recursive: true, force: true });
    for (const name of Object.keys(sealed(seal))) {
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true });
      if (!(await this.#blobs.client.download(`${place}/files/${name}`, path))) return false;
    }
    const events = await this.#blobs.client.get(`${place}/events.jsonl`);
    if (events) await writeAtomic(join(run, 'events.jsonl'), events);
    await writeAtomic(join(folder, SEAL), seal); // last, as the trainer does
    return true;
  }
}

/** The file that the trainer writes last: names and sizes of the others. */
const SEAL = 'COMPLETE.json';
const sealed = (text: string): Readonly<Record<string, number>> => (JSON.parse(text) as { files: Record<string, number> }).files;
const stepIn = (key: string): number => Number(/\/step-(\d+)(?:\/|$)/.exec(key)?.[1] ?? -1);
