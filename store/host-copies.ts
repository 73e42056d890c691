/** Keeps the copies that a host has of an S3 store within a limit: the longest unused go first. */
import { rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { LocalBlobs } from './blobs.ts';
import { ifThere, temporary } from './files.ts';
import type { Paths } from './paths.ts';

/** Milliseconds between two looks at the copies. */
const LOOK_EVERY = 600_000;
/** Milliseconds. What was used since then stays, because a program may be about to open it. */
const IN_USE = 3_600_000;

export class HostCopies {
  readonly #paths: Paths;
  readonly #limit: number;
  readonly #hasEnded: (stepKey: string) => Promise<boolean>;
  #looked = -Infinity;

  constructor(paths: Paths, limit: number, hasEnded: (stepKey: string) => Promise<boolean>) {
    this.#paths = paths;
    this.#limit = limit;
    this.#hasEnded = hasEnded;
  }

  /** Removes copies over the limit, scratch of steps that other hosts have ended, and temporary files. At most every ten minutes. */
  async trim(now: number = Date.now()): Promise<void> {
    if (now - this.#looked < LOOK_EVERY) return;
    this.#looked = now;
    const unused = <T extends { readonly changed: number }>(entries: readonly T[]) =>
      entries.filter(({ changed }) => changed < now - IN_USE);
    const { folders } = this.#paths;
    const local = new LocalBlobs(this.#paths);
    for (const { path } of unused(await local.list(this.#paths.temporary))) await rm(path, { recursive: true, force: true });
    for (const { path } of unused(await local.list(folders.work))) if (await this.#hasEnded(basename(path))) await this.#remove(path);
    const models = (await local.list(folders.models)).map(async (model) => ({
      ...model,
      changed: (await ifThere(stat(join(model.path, 'manifest.json'))))?.mtimeMs ?? 0, // of the folder only the manifest is touched
    }));
    const copies = [...(await local.list(folders.blobs, 2)), ...(await local.list(folders.tables)), ...(await Promise.all(models))];
    let bytes = copies.reduce((sum, copy) => sum + copy.bytes, 0);
    for (const copy of unused(copies).toSorted((a, b) => a.changed - b.changed)) {
      if (bytes <= this.#limit) return;
      await this.#remove(copy.path);
      bytes -= copy.bytes;
    }
  }

  /** Rename first, so that a reader finds all of a folder or nothing. */
  async #remove(path: string): Promise<void> {
    const trash = temporary(this.#paths.temporary, basename(path));
    await ifThere(rename(path, trash));
    await rm(trash, { recursive: true, force: true });
  }
}
