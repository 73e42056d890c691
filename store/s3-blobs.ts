/** A store in S3. What this host has read or made stays on its disk, as a copy that verified readers use. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import type { Blobs, Entry } from './blobs.ts';
import { codeOf, ifThere, isThere, makeFolder, temporary, writing } from './files.ts';
import { HostCopies } from './host-copies.ts';
import type { Paths } from './paths.ts';
import type { S3Client, S3Object } from './s3-client.ts';

export class S3Blobs implements Blobs {
  readonly paths: Paths;
  readonly location: string;
  readonly client: S3Client;
  readonly #copies: HostCopies;
  /** Copies under way, by path: several readers of a file wait for one of them. */
  readonly #pulling = new Map<string, Promise<void>>();

  /** `limit`: bytes of copies on this host. */
  constructor(paths: Paths, client: S3Client, limit: number) {
    this.paths = paths;
    this.client = client;
    this.location = client.address.url;
    this.#copies = new HostCopies(paths, limit, async (stepKey) => (await this.size(paths.output(stepKey))) !== undefined);
  }

  keyOf = (path: string): string => relative(this.paths.root, path);
  nameOf(path: string): string {
    return `${this.location}/${this.keyOf(path)}`;
  }
  read(path: string): Promise<Buffer | undefined> {
    return this.client.get(this.keyOf(path));
  }
  write(path: string, data: string | Uint8Array): Promise<void> {
    return this.client.put(this.keyOf(path), bytesOf(data));
  }
  putIfAbsent(path: string, data: string | Uint8Array): Promise<boolean> {
    return this.client.putIfAbsent(this.keyOf(path), bytesOf(data));
  }
  size(path: string): Promise<number | undefined> {
    return this.client.size(this.keyOf(path));
  }
  async remove(path: string): Promise<void> {
    const key = this.keyOf(path);
    const keys = (await this.client.list(`${key}/`)).map((object) => object.key);
    const manifest = join(key, 'manifest.json'); // a model without it is not there
    if (keys.includes(manifest)) await this.client.remove([manifest]);
    await this.client.remove([key, ...keys]);
    await rm(path, { recursive: true, force: true });
  }
  async list(folder: string, depth = 1): Promise<readonly Entry[]> {
    const key = `${this.keyOf(folder)}/`;
    const unit = (object: S3Object) => object.key.slice(key.length).split('/').slice(0, depth).join('/');
    const units = Map.groupBy(await this.client.list(key), unit);
    const entries = [...units].map(([name, objects]) => ({
      path: join(folder, name),
      bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
      changed: Math.max(...objects.map(({ changed }) => changed)),
    }));
    return entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }
  async sizes(folder: string): Promise<ReadonlyMap<string, number>> {
    const key = `${this.keyOf(folder)}/`;
    return new Map((await this.client.list(key)).map((object) => [object.key.slice(key.length), object.bytes]));
  }

  async pull(path: string, names?: readonly string[]): Promise<void> {
    const wanted = names ? names.map((name) => join(path, name)) : [path];
    if ((await Promise.all(wanted.map(isThere))).every(Boolean)) return touch(wanted.at(-1)!);
    const pulling = this.#pulling.get(path) ?? this.#pull(path, names).finally(() => this.#pulling.delete(path));
    this.#pulling.set(path, pulling);
    await pulling;
  }
  async #pull(path: string, names: readonly string[] | undefined): Promise<void> {
    const part = temporary(this.paths.temporary, basename(path));
    try {
      for (const name of names ?? ['']) {
        await mkdir(dirname(join(part, name)), { recursive: true });
        if (!(await this.client.download(join(this.keyOf(path), name), join(part, name)))) return; // the reader says what is missing
      }
      await makeFolder(dirname(path));
      await this.#place(part, path, names ?? []);
    } catch (error) {
      throw writing(path, error);
    } finally {
      await rm(part, { recursive: true, force: true });
    }
    await this.#copies.trim();
  }

  /** A whole folder that is there stays: another process was as fast. */
  async #place(part: string, path: string, names: readonly string[]): Promise<void> {
    try {
      await rename(part, path);
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
      if ((await Promise.all(names.map((name) => isThere(join(path, name))))).every(Boolean)) return;
      const broken = temporary(this.paths.temporary, 'broken');
      await ifThere(rename(path, broken));
      await rm(broken, { recursive: true, force: true });
      await rename(part, path);
    }
  }

  async push(path: string, names?: readonly string[]): Promise<void> {
    if (!names) {
      const bytes = await readFile(path);
      await this.client.put(this.keyOf(path), bytes, { ChecksumSHA256: createHash('sha256').update(bytes).digest('base64') });
    } else {
      const sizes = await this.sizes(path);
      for (const name of names) {
        const last = name === names.at(-1);
        if (last) await this.putIfAbsent(join(path, name), await readFile(join(path, name)));
        else if (sizes.get(name) !== (await stat(join(path, name))).size)
          await this.client.upload(join(this.keyOf(path), name), join(path, name));
      }
    }
    await this.#copies.trim();
  }

  async discard(path: string): Promise<boolean> {
    const there = await isThere(path);
    await rm(path, { recursive: true, force: true });
    return there;
  }
}

const bytesOf = (data: string | Uint8Array): Uint8Array => (typeof data === 'string' ? Buffer.from(data) : data);

/** Notes that a copy is in use. */
async function touch(path: string): Promise<void> {
  const now = new Date();
  await ifThere(utimes(path, now, now));
}
