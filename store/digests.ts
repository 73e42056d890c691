/** Computes digests of files outside the store and caches them until a file changes: a model may have hundreds of gigabytes. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { writeAtomic } from './files.ts';

/** Bytes from which on the cache pays. */
const LARGE = 2 ** 20;
/** Milliseconds. A file that changed within this time may change again within one tick of the disk's clock, so its digest is not cached. */
const MIN_AGE = 2_000;

/** The cache has no digest of a file, and the caller does not want it read. */
export class Unread extends Error {}

/** sha256 of a file's bytes. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

export class FileDigests {
  readonly #folder: string | undefined;
  readonly #now: () => number;

  /** `folder` holds one cache file per path; without it nothing is cached. */
  constructor(folder?: string, now: () => number = Date.now) {
    this.#folder = folder;
    this.#now = now;
  }

  /** `reads: false` throws `Unread` for a large file that is not cached. */
  async of(path: string, reads = true): Promise<string> {
    const before = await stampOf(path);
    const entry = this.#folder !== undefined && before.size >= LARGE ? join(this.#folder, `${sha256(path)}.json`) : undefined;
    if (entry === undefined) return digestOf(path);
    const remembered = await read(entry);
    if (remembered?.stamp === before.stamp) return remembered.digest;
    if (!reads) throw new Unread(path);
    const digest = await digestOf(path);
    const { stamp, changed } = await stampOf(path);
    if (stamp === before.stamp && changed < this.#now() - MIN_AGE) await writeAtomic(entry, canonicalJson({ path, stamp, digest }));
    return digest;
  }
}

/** Size, times and inode. `changed` is in milliseconds since 1970. */
async function stampOf(path: string): Promise<{ stamp: string; size: number; changed: number }> {
  const { size, mtimeNs, ctimeNs, ino, dev } = await stat(path, { bigint: true });
  return { stamp: [size, mtimeNs, ctimeNs, ino, dev].join(' '), size: Number(size), changed: Number(ctimeNs / 1_000_000n) };
}

/** undefined: the cache entry is missing or torn. */
async function read(entry: string): Promise<{ stamp: string; digest: string } | undefined> {
  try {
    return JSON.parse(await readFile(entry, 'utf8')) as { stamp: string; digest: string };
  } catch {
    return undefined;
  }
}
