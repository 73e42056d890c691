/** The requests to an S3 server that a store needs. Loads the AWS SDK. */
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client as Client,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { isMissing, s3Fault, statusOf, type S3Address } from './s3-address.ts';

export interface S3Object {
  readonly key: string;
  readonly bytes: number;
  readonly changed: number;
  readonly etag: string;
}

/** Bytes. A larger file is sent in parts, and read in ranges, of which some are under way at once. */
const PART = 32 * 2 ** 20;
const PARTS_AT_ONCE = 4;
/** Tries of a range whose stream breaks off. */
const TRIES = 4;
/** The most keys in one request to delete. */
const DELETE_AT_ONCE = 1000;

/** Keys are without the prefix of the address. Errors are sentences. */
export class S3Client {
  readonly address: S3Address;
  readonly #client: Client;

  /** The endpoint, region and credentials come from the environment or profile, as for every tool of AWS. */
  constructor(address: S3Address) {
    this.address = address;
    const custom = process.env['AWS_ENDPOINT_URL_S3'] ?? process.env['AWS_ENDPOINT_URL'];
    this.#client = new Client({
      region: process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'] ?? 'us-east-1',
      ...(custom ? { endpoint: custom, forcePathStyle: true } : {}),
      maxAttempts: 6,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  /** Returns undefined if there is no such object. */
  async get(key: string): Promise<Buffer | undefined> {
    return this.#answer(async () => {
      const { Body } = await this.#client.send(new GetObjectCommand(this.#at(key)));
      return Buffer.from(await Body!.transformToByteArray());
    });
  }

  async size(key: string): Promise<number | undefined> {
    return this.#answer(async () => (await this.#client.send(new HeadObjectCommand(this.#at(key)))).ContentLength ?? 0);
  }

  async put(key: string, body: Uint8Array, more: Partial<PutObjectCommandInput> = {}): Promise<void> {
    await this.#sentence(() => this.#client.send(new PutObjectCommand({ ...this.#at(key), Body: body, ...more })));
  }

  /** Returns false if there is such an object. */
  async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.#sentence(async () => {
      for (;;) {
        try {
          await this.#client.send(new PutObjectCommand({ ...this.#at(key), Body: body, IfNoneMatch: '*' }));
          return true;
        } catch (error) {
          if (statusOf(error) === 412) return false;
          if (statusOf(error) !== 409) throw error;
          await delay(50); // another request for this key is under way
        }
      }
    });
  }

  /** Sends a file, a large one in parts. */
  async upload(key: string, path: string): Promise<void> {
    await this.#sentence(() => {
      const params = { ...this.#at(key), Body: createReadStream(path) };
      return new Upload({ client: this.#client, params, partSize: PART, queueSize: PARTS_AT_ONCE }).done();
    });
  }

  /** Writes an object into a new file, a large one range by range. Returns false if there is no such object. */
  async download(key: string, path: string): Promise<boolean> {
    const size = await this.size(key);
    if (size === undefined) return false;
    await using file = await open(path, 'wx');
    const starts = Array.from({ length: Math.ceil(size / PART) }, (_, n) => n * PART);
    const take = async () => {
      for (let start = starts.shift(); start !== undefined; start = starts.shift()) {
        const bytes = await this.#range(key, start, Math.min(start + PART, size));
        for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at, start + at)).bytesWritten;
      }
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, take));
    await file.sync();
    return (await stat(path)).size === size;
  }

  /** The SDK repeats requests, but not a stream that breaks off. */
  async #range(key: string, from: number, to: number): Promise<Buffer> {
    for (let tries = 1; ; tries++) {
      try {
        const { Body } = await this.#client.send(new GetObjectCommand({ ...this.#at(key), Range: `bytes=${from}-${to - 1}` }));
        const bytes = Buffer.from(await Body!.transformToByteArray());
        if (bytes.length === to - from) return bytes;
        throw new Error(`${bytes.length} bytes came and not ${to - from}`);
      } catch (error) {
        if (tries === TRIES) throw s3Fault(error, this.address.url);
        await delay(100 * 2 ** tries);
      }
    }
  }

  async list(prefix: string): Promise<S3Object[]> {
    const { bucket, prefix: root } = this.address;
    return this.#sentence(async () => {
      const found: S3Object[] = [];
      for await (const { Contents = [] } of paginateListObjectsV2({ client: this.#client }, { Bucket: bucket, Prefix: root + prefix }))
        for (const { Key = '', Size = 0, LastModified, ETag = '' } of Contents)
          found.push({ key: Key.slice(root.length), bytes: Size, changed: LastModified?.getTime() ?? 0, etag: ETag });
      return found;
    });
  }

  async remove(keys: readonly string[]): Promise<void> {
    const { bucket, prefix } = this.address;
    for (let at = 0; at < keys.length; at += DELETE_AT_ONCE) {
      const Objects = keys.slice(at, at + DELETE_AT_ONCE).map((key) => ({ Key: prefix + key }));
      const { Errors = [] } = await this.#sentence(() =>
        this.#client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } })),
      );
      if (Errors.length > 0) throw s3Fault({ name: Errors[0]!.Code, message: Errors[0]!.Message }, this.address.url);
    }
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.address.bucket, Key: this.address.prefix + key };
  }
  #answer<T>(request: () => Promise<T>): Promise<T | undefined> {
    return this.#sentence(() =>
      request().catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      }),
    );
  }
  async #sentence<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      throw (error as NodeJS.ErrnoException).syscall && (error as NodeJS.ErrnoException).path ? error : s3Fault(error, this.address.url);
    }
  }
}
