/** Where the files of a store are: in a folder of this host, or in an S3 bucket with copies on this host. Both have the layout of `Paths`. */
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { codeOf, ifThere, putIfAbsent, temporary, writeAtomic } from './files.ts';
import type { Paths } from './paths.ts';

/** A file, or a folder as a whole. */
export interface Entry {
  readonly path: string;
  readonly bytes: number;
  /** The newest change in it, in milliseconds since 1970. */
  readonly changed: number;
}

/** Files of a store by their paths in `paths`. In a local store the file is there. In an S3 store there is an object of that name, and what is
 *  at the path is a copy on this host, if any. */
export interface Blobs {
  readonly paths: Paths;
  /** The store in messages: its folder, or its S3 address. */
  readonly location: string;
  /** A file in messages. */
  nameOf(path: string): string;

  /** Returns the current content; undefined: there is no such file. */
  read(path: string): Promise<Buffer | undefined>;
  /** Replaces any file of this name. */
  write(path: string, data: string | Uint8Array): Promise<void>;
  /** Returns false if there is such a file. Safe between processes and hosts: the first writer wins. */
  putIfAbsent(path: string, data: string | Uint8Array): Promise<boolean>;
  /** Removes a file, or a folder in one step, and everything in it. */
  remove(path: string): Promise<void>;
  /** Bytes of a file; undefined: there is no such file. */
  size(path: string): Promise<number | undefined>;
  /** What is in a folder, `depth` levels down, in the order of the names. */
  list(folder: string, depth?: number): Promise<readonly Entry[]>;
  /** Sizes of all files in a folder, at any depth, by their names in it. */
  sizes(folder: string): Promise<ReadonlyMap<string, number>>;

  /** Ensures that a file is on this host, or a folder with these files in it, if the store has it. Only for files that never change. */
  pull(path: string, names?: readonly string[]): Promise<void>;
  /** Stores what is on this host: a file; or files of a folder in this order. Only for files that never change. */
  push(path: string, names?: readonly string[]): Promise<void>;
  /** Removes a damaged copy from this host. Returns false if there is none: the damage is in the store. */
  discard(path: string): Promise<boolean>;
}

export class LocalBlobs implements Blobs {
  readonly paths: Paths;
  readonly location: string;

  constructor(paths: Paths) {
    this.paths = paths;
    this.location = paths.root;
  }

  nameOf(path: string): string {
    return path;
  }
  read(path: string): Promise<Buffer | undefined> {
    return ifThere(readFile(path));
  }
  write(path: string, data: string | Uint8Array): Promise<void> {
    return writeAtomic(path, data, this.paths.temporary);
  }
  putIfAbsent(path: string, data: string | Uint8Array): Promise<boolean> {
    return putIfAbsent(path, data, this.paths.temporary);
  }
  async remove(path: string): Promise<void> {
    const trash = temporary(this.paths.temporary, basename(path));
    await ifThere(rename(path, trash)); // rename first, so a folder disappears in one step
    await rm(trash, { recursive: true, force: true });
  }
  async size(path: string): Promise<number | undefined> {
    return (await ifThere(stat(path)))?.size;
  }
  async list(folder: string, depth = 1): Promise<readonly Entry[]> {
    const paths = (await inside(folder)).map((name) => join(folder, name));
    if (depth > 1) return (await Promise.all(paths.map((path) => this.list(path, depth - 1)))).flat();
    return Promise.all(paths.map(async (path) => ({ path, ...(await measure(path)) })));
  }
  async sizes(folder: string): Promise<ReadonlyMap<string, number>> {
    const entries = (await ifThere(readdir(folder, { recursive: true, withFileTypes: true }))) ?? [];
    const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
    const sized = files.map(async (path) => [path.slice(folder.length + 1), (await ifThere(stat(path)))?.size ?? -1] as const);
    return new Map(await Promise.all(sized));
  }
  async pull(): Promise<void> {}
  async push(): Promise<void> {}
  async discard(): Promise<boolean> {
    return false;
  }
}

async function inside(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Infinity: it has disappeared in the meantime. */
async function measure(path: string): Promise<Omit<Entry, 'path'>> {
  const stats = await ifThere(stat(path));
  if (!stats) return { bytes: 0, changed: Infinity };
  if (!stats.isDirectory()) return { bytes: stats.size, changed: stats.mtimeMs };
  const inner = await Promise.all((await inside(path)).map((name) => measure(join(path, name))));
  return inner.reduce((sum, one) => ({ bytes: sum.bytes + one.bytes, changed: Math.max(sum.changed, one.changed) }), {
    bytes: 0,
    changed: stats.mtimeMs,
  });
}
