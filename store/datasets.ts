/** Writes and reads datasets: records as JSON lines in zstd shards, each named by the digest of its content. */
import { createHash, type Hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import type { DatasetRef } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { DatasetManifest, Determinism } from '../schemas/store.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import type { Blobs } from './blobs.ts';
import { ifThere, writeAtomic } from './files.ts';
import type { DatasetWriter } from './store.ts';
import { turns } from './turns.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
/** One frame with a checksum: Node 24 reads only the first frame of a file. */
const frame = { params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 } };

/** Limits of one shard; the first one reached ends it. They do not change a dataset's digest. */
export interface ShardLimits {
  readonly rows: number;
  readonly bytes: number;
}
export const shardLimits: ShardLimits = { rows: 10_000, bytes: 32 * 2 ** 20 };

const datasetHash = (schema: string): Hash => createHash('sha256').update(`${schema}\n`);
const lineOf = ({ id, from, value }: Rec<unknown>) =>
  `{"id":${canonicalJson(id)},"from":${canonicalJson(from)},"value":${canonicalJson(value)}}\n`;

/** Keeps one shard in memory and writes each full one. Nothing refers to the shards before `commit`. */
export class ShardWriter implements DatasetWriter {
  readonly #blobs: Blobs;
  readonly #schema: string;
  readonly #limits: ShardLimits;
  readonly #whole: Hash;
  readonly #shards: DatasetManifest['shards'] = [];
  #lines: Buffer[] = [];
  #bytes = 0;

  constructor(blobs: Blobs, schema: string, limits: ShardLimits = shardLimits) {
    this.#blobs = blobs;
    this.#schema = schema;
    this.#limits = limits;
    this.#whole = datasetHash(schema);
  }

  async add(record: Rec<unknown>): Promise<void> {
    const line = Buffer.from(lineOf(record));
    if (this.#lines.length === this.#limits.rows || (this.#lines.length > 0 && this.#bytes + line.length > this.#limits.bytes))
      await this.#flush();
    this.#lines.push(line);
    this.#bytes += line.length;
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#lines);
    const shard = { digest: sha256(bytes), rows: this.#lines.length, bytes: bytes.length };
    [this.#lines, this.#bytes] = [[], 0];
    this.#whole.update(bytes);
    const path = this.#blobs.paths.blob(shard.digest);
    await writeAtomic(path, await compress(bytes, frame), this.#blobs.paths.temporary); // also replaces a damaged shard
    await this.#blobs.push(path);
    this.#shards.push(shard);
  }

  async commit(determinism: Determinism): Promise<DatasetRef> {
    if (this.#lines.length > 0) await this.#flush();
    const sum = (of: 'rows' | 'bytes') => this.#shards.reduce((total, shard) => total + shard[of], 0);
    const digest = this.#whole.digest('hex');
    const manifest: DatasetManifest = {
      kind: 'dataset',
      schema: this.#schema,
      digest,
      rows: sum('rows'),
      bytes: sum('bytes'),
      shards: this.#shards,
      determinism,
    };
    await this.#blobs.putIfAbsent(this.#blobs.paths.dataset(digest), `${canonicalJson(manifest)}\n`);
    return { kind: 'dataset', digest, rows: manifest.rows };
  }

  async abort(): Promise<void> {
    this.#lines = []; // shards without a reference wait for gc: another dataset may share them
  }
}

export type Head = Pick<Rec<unknown>, 'id' | 'from'>;
interface Range {
  readonly from: number;
  readonly to: number;
}

const recordAt = (bytes: Buffer, start: number, end: number) => JSON.parse(bytes.toString('utf8', start, end)) as Rec<unknown>;
/** Up to the value: inside a text these quotation marks would be escaped. */
const headAt = (bytes: Buffer, start: number) => JSON.parse(`${bytes.toString('utf8', start, bytes.indexOf(',"value":', start))}}`) as Head;

/** Reads what a `ShardWriter` wrote. */
export class ShardReader {
  readonly #blobs: Blobs;
  /** The last shard, decompressed. Consecutive batches read from the same shard, often at the same time. */
  #cached: { readonly digest: string; readonly bytes: Promise<Buffer> } | undefined;

  constructor(blobs: Blobs) {
    this.#blobs = blobs;
  }

  /** Returns the records `from` (inclusive) to `to` (exclusive). Keeps one shard in memory and opens no others than it needs. Throws
   *  `ArtifactMissing` or `ArtifactDamaged` before it returns any record of the shard at fault. */
  records(manifest: DatasetManifest, range?: Range): AsyncGenerator<Rec<unknown>> {
    return this.#lines(manifest, recordAt, range);
  }

  /** Returns all records without their values, which takes a fraction of the time. */
  heads(manifest: DatasetManifest): AsyncGenerator<Head> {
    return this.#lines(manifest, headAt);
  }

  async *#lines<T>(
    manifest: DatasetManifest,
    parse: (bytes: Buffer, start: number, end: number) => T,
    { from, to }: Range = { from: 0, to: Infinity },
  ): AsyncGenerator<T> {
    const whole = from === 0 && to >= manifest.rows ? datasetHash(manifest.schema) : undefined;
    const turn = turns();
    let first = 0;
    for (const shard of manifest.shards) {
      if (first + shard.rows > from && first < to) {
        const bytes = await (whole ? readShard(this.#blobs, shard) : this.#shared(shard));
        whole?.update(bytes);
        let row = first;
        for (let start = 0; start < bytes.length && row < to; row++) {
          const end = bytes.indexOf(0x0a, start);
          if (row >= from) yield parse(bytes, start, end);
          start = end + 1;
          const others = turn();
          if (others) await others;
        }
      }
      first += shard.rows;
    }
    if (whole) this.#checkWhole(manifest, whole);
  }

  /** Paths of the verified shards. */
  async files(manifest: DatasetManifest): Promise<readonly string[]> {
    const whole = datasetHash(manifest.schema);
    for (const shard of manifest.shards) whole.update(await readShard(this.#blobs, shard));
    this.#checkWhole(manifest, whole);
    return manifest.shards.map(({ digest }) => this.#blobs.paths.blob(digest));
  }

  #checkWhole({ digest }: DatasetManifest, whole: Hash): void {
    if (whole.digest('hex') !== digest)
      throw damaged(this.#blobs.nameOf(this.#blobs.paths.dataset(digest)), 'lists other shards than its digest says');
  }

  #shared(shard: Shard): Promise<Buffer> {
    if (this.#cached?.digest !== shard.digest) {
      const cached = { digest: shard.digest, bytes: readShard(this.#blobs, shard) };
      this.#cached = cached;
      cached.bytes.catch(() => {
        if (this.#cached === cached) this.#cached = undefined; // a later read may find it repaired
      });
    }
    return this.#cached.bytes;
  }
}

type Shard = DatasetManifest['shards'][number];

/** Reads it anew from the store if the copy on this host is damaged. */
async function readShard(blobs: Blobs, shard: Shard): Promise<Buffer> {
  const path = blobs.paths.blob(shard.digest);
  try {
    return await readWhole(blobs, path, shard);
  } catch (error) {
    if (!(error instanceof BackspinError && error.type === 'ArtifactDamaged' && (await blobs.discard(path)))) throw error;
    return readWhole(blobs, path, shard);
  }
}

async function readWhole(blobs: Blobs, path: string, shard: Shard): Promise<Buffer> {
  const name = blobs.nameOf(path);
  await blobs.pull(path);
  const packed = await ifThere(readFile(path));
  if (!packed)
    throw new BackspinError(
      'ArtifactMissing',
      `The shard ${name} is not there: launch the experiment that made it again, and its step runs again.`,
    );
  let bytes: Buffer;
  try {
    bytes = await decompress(packed, { maxOutputLength: Math.max(shard.bytes, 1) });
  } catch (error) {
    throw damaged(name, `cannot be unpacked (${(error as Error).message})`, { cause: error });
  }
  if (bytes.length !== shard.bytes)
    throw damaged(name, `has ${bytes.length} bytes and not ${shard.bytes} (is it more than one zstd frame?)`);
  if (sha256(bytes) !== shard.digest) throw damaged(name, 'holds other bytes than its name says');
  let rows = 0;
  for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1)) rows++;
  if (rows !== shard.rows || bytes.at(-1) !== 0x0a) throw damaged(name, `has ${rows} records and not ${shard.rows}`);
  return bytes;
}

const REMAKE = 'delete that file and launch the experiment that made it again, and its step runs again';

/** An `ArtifactDamaged` error for a file of the store. */
export const damaged = (path: string, how: string, { cause, remedy = REMAKE }: { cause?: unknown; remedy?: string | undefined } = {}) =>
  new BackspinError('ArtifactDamaged', `${path} ${how}, so nothing was read from it: ${remedy}.`, { cause });
