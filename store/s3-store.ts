/** Opens a store in S3. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { openOver } from './blob-store.ts';
import { ifThere, makeFolder, putIfAbsent, writeAtomic } from './files.ts';
import { pathsOf } from './paths.ts';
import type { S3Address } from './s3-address.ts';
import { S3Blobs } from './s3-blobs.ts';
import { S3Client } from './s3-client.ts';
import { SharedWork } from './shared-work.ts';
import type { Store } from './store.ts';

/** Bytes of copies that a host keeps by default. */
const COPIES = 200e9;

/** Opens the store at an address; creates it if it does not exist. `root` holds its copies on this host. `limit`: bytes of them. Throws
 *  `ConfigError` for a server without conditional writes. */
export async function openS3Store(address: S3Address, root: string, limit: number = COPIES): Promise<Store> {
  const paths = pathsOf(resolve(root));
  const client = new S3Client(address);
  await makeFolder(paths.root);
  const checked = join(paths.root, 'checked');
  if ((await ifThere(readFile(checked, 'utf8'))) !== address.url) {
    await checkConditionalWrites(client);
    await writeAtomic(checked, address.url);
  }
  const blobs = new S3Blobs(paths, client, limit);
  return openOver(blobs, new SharedWork(blobs, await hostName(paths.root)));
}

/** Without them two hosts could replace each other's results. */
async function checkConditionalWrites(client: S3Client): Promise<void> {
  const key = `tmp/check-${randomBytes(8).toString('hex')}`;
  const first = await client.putIfAbsent(key, Buffer.from('first'));
  const second = await client.putIfAbsent(key, Buffer.from('second'));
  await client.remove([key]);
  if (!first || second)
    throw new BackspinError(
      'ConfigError',
      `The S3 server of ${client.address.url} has no conditional writes (If-None-Match), so two hosts could replace each other's results: use one that has them, such as AWS S3, MinIO, Ceph or versitygw of a current version.`,
    );
}

/** Eight characters that name the host's copies, and its journals for other hosts. */
async function hostName(root: string): Promise<string> {
  const path = join(root, 'host');
  const named = async () => /^[0-9a-f]{8}$/.exec((await ifThere(readFile(path, 'utf8'))) ?? '')?.[0];
  const known = await named();
  if (known) return known;
  const made = randomBytes(4).toString('hex');
  if (!(await putIfAbsent(path, made)) && !(await named())) await writeAtomic(path, made); // a power failure left it empty
  return (await named())!;
}
