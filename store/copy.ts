/** Copies a store to another place: a folder or S3. It may be stopped and run again, and takes up what is new. */
import { readFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed } from '../schemas/experiment.ts';
import { ifThere, isThere, putIfAbsent, writeAtomic } from './files.ts';
import { openStoreAt } from './open.ts';
import { s3Address } from './s3-address.ts';
import type { Store } from './store.ts';

export interface Copied {
  readonly from: Store;
  readonly to: Store;
  readonly datasets: number;
  readonly models: number;
  /** Datasets and models that are damaged or not whole, with what is wrong. */
  readonly left: readonly string[];
}

/** A folder or an address in S3; relative to the working folder. `copies`: folder for copies of what is in S3. Throws `NotFound` if `from` is
 *  no store, and `Refused` if one of its experiments has not ended or `to` is another store with experiments of its own. */
export async function copyStore(from: string, to: string, copies: string): Promise<Copied> {
  if (!from.startsWith('s3:') && !(await isThere(join(from, 'id'))))
    throw new BackspinError('NotFound', `${from} is no store: give the folder \`store\` of a home, or the address of a store in S3.`);
  const source = await openStoreAt(from, join(copies, 'from'));
  await refuseOpen(source);
  const target = await openTarget(to, join(copies, 'to'), source);
  const left: string[] = [];
  const attempt = async (what: string, copy: () => Promise<void>): Promise<number> => {
    try {
      await copy();
      return 1;
    } catch (error) {
      if (!(error instanceof BackspinError) || (error.type !== 'ArtifactDamaged' && error.type !== 'ArtifactMissing')) throw error;
      left.push(`${what}: ${error.message}`);
      return 0;
    }
  };
  const digests = async (folder: string) =>
    (await source.blobs.list(folder)).map(({ path }) => basename(path, '.json')).filter((name) => /^[0-9a-f]{64}$/.test(name));
  let [datasets, models] = [0, 0];
  const { folders, root } = source.blobs.paths;
  for (const digest of await digests(folders.datasets))
    datasets += await attempt(`the dataset ${digest}`, () => copyDataset(source, target, digest));
  for (const digest of await digests(folders.models))
    models += await attempt(`the model ${digest}`, () => copyModel(source, target, digest));
  for (const folder of ['grants', 'same', 'prompts', 'sweeps'].map((name) => join(root, name))) await copyFiles(source, target, folder, 1);
  await copyFiles(source, target, folders.outputs, 2);
  await copyFiles(source, target, source.blobs.paths.reviews, 2);
  await copyFiles(source, target, folders.experiments, 1);
  return { from: source, to: target, datasets, models, left };
}

async function refuseOpen(store: Store): Promise<void> {
  const open = (await store.experiments()).filter((record) => !isClosed(record)).map(({ name }) => name);
  if (open.length > 0)
    throw new BackspinError(
      'Refused',
      `${open.join(', ')} in ${store.location} ${open.length === 1 ? 'has' : 'have'} not ended: cancel it or let it end, then copy the store. Finished steps are taken from the copy when you launch it again.`,
    );
}

/** A new store gets the id of the other: it is the same one in another place. */
async function openTarget(to: string, copies: string, source: Store): Promise<Store> {
  if (to.startsWith('s3:')) {
    const { S3Client } = await import('./s3-client.ts');
    await new S3Client(s3Address(to)).putIfAbsent('id', Buffer.from(source.id));
  } else await putIfAbsent(join(to, 'id'), source.id);
  const target = await openStoreAt(to, copies);
  if (target.id !== source.id && (await target.experimentNames()).length > 0)
    throw new BackspinError(
      'Refused',
      `${target.location} is the store ${target.id} with experiments of its own, and ${source.location} is ${source.id}: give an empty place.`,
    );
  return target;
}

/** Shards are verified as they are read. */
async function copyDataset(source: Store, target: Store, digest: string): Promise<void> {
  const manifest = await source.dataset({ digest });
  const paths = await source.shardFiles({ digest });
  for (const [n, shard] of manifest.shards.entries()) {
    const path = target.blobs.paths.blob(shard.digest);
    if ((await target.blobs.size(path)) !== undefined) continue;
    await writeAtomic(path, await readFile(paths[n]!), target.blobs.paths.temporary);
    await target.blobs.push(path);
  }
  await copyFile(source, target, source.blobs.paths.dataset(digest));
}

async function copyModel(source: Store, target: Store, digest: string): Promise<void> {
  if (await target.has({ kind: 'model', digest })) return;
  const { kind, digest: _, files, ...about } = await source.model({ digest });
  const folder = await source.modelFolder({ digest });
  const overrides = Object.fromEntries(files.map(({ name }) => [name, join(folder, name)]));
  const copied = await target.putModel(folder, about, overrides);
  if (copied.digest !== digest)
    throw new BackspinError('ArtifactDamaged', `its files give the digest ${copied.digest}, so another version of backspin stored it.`);
}

async function copyFiles(source: Store, target: Store, folder: string, depth: number): Promise<void> {
  for (const { path } of await source.blobs.list(folder, depth)) if (!path.endsWith('.steps')) await copyFile(source, target, path);
}

async function copyFile(source: Store, target: Store, path: string): Promise<void> {
  const bytes = await ifThere(source.blobs.read(path));
  if (bytes) await target.blobs.putIfAbsent(join(target.blobs.paths.root, relative(source.blobs.paths.root, path)), bytes);
}
