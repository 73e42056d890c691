/** Reads lines and texts from plain, .gz and .zst files. A line ends only at a newline byte. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, relative, sep } from 'node:path';
import { pipeline, type Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { BackspinError } from '../schemas/errors.ts';
import { byJq, formatOf, notUtf8, splitBy, type Fault } from './unreadable.ts';

/** Maximum bytes of a line or a document. Larger ones would not fit into a shard of the store, and hardly into memory. */
const MAX_BYTES = 32 * 2 ** 20;

/** Yields the bytes of a file, decompressed according to its extension. Throws `SchemaError` if decompression fails or bytes are left
 *  over. */
export async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  const packed = /\.(gz|zst)$/i.exec(path)?.[1]?.toLowerCase();
  try {
    if (packed === undefined) yield* createReadStream(path) as AsyncIterable<Buffer>;
    else if (packed === 'gz') yield* unpack(path, createGunzip());
    else yield* zstdFrames(path);
  } catch (error) {
    if (packed === undefined) throw error;
    throw new BackspinError('SchemaError', `${path} cannot be unpacked (${(error as Error).message}): fetch it again.`, { cause: error });
  }
}
/** The caller's loop throws a failure of the pipeline. */
const unpack = (path: string, unpacking: Transform, start = 0) =>
  pipeline(createReadStream(path, { start }), unpacking, () => {}) as unknown as AsyncIterable<Buffer>;

/** Node stops after the first frame of a zstd file, and many files have several. The largest window (`--long=31`) reads every frame. */
async function* zstdFrames(path: string): AsyncGenerator<Buffer> {
  const { size } = await stat(path);
  for (let start = 0; start < size;) {
    const frame = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 31 } });
    yield* unpack(path, frame, start);
    start += frame.bytesWritten;
  }
}

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without the newline; null if there are more than 32 MiB. */
  readonly bytes: Buffer | null;
}

async function* linesOf(path: string): AsyncGenerator<Line> {
  let number = 1;
  let open: Buffer[] = [];
  let length = 0;
  const add = (bytes: Buffer) => {
    length += bytes.length;
    if (length > MAX_BYTES) open = [];
    else open.push(bytes);
  };
  const line = (): Line => {
    const bytes = length > MAX_BYTES ? null : open.length === 1 ? open[0]! : Buffer.concat(open);
    [open, length] = [[], 0];
    return { number: number++, bytes };
  };
  for await (const chunk of bytesOf(path)) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      add(chunk.subarray(start, end));
      yield line();
      start = end + 1;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  if (length > 0) yield line();
}

const tooLargeDocument = (path: string): Fault => ({
  fault: `is too large: a document can have ${MAX_BYTES >> 20} MiB`,
  remedy: `split it (${splitBy(path, MAX_BYTES >> 21)}) and name its parts`,
});
/** Returns the text of a file, or why it cannot be read. */
export async function textOf(path: string, most: number = MAX_BYTES, tooLarge = tooLargeDocument): Promise<string | Fault> {
  const chunks: Buffer[] = [];
  try {
    let length = 0;
    for await (const chunk of bytesOf(path)) {
      length += chunk.length;
      if (length > most) return tooLarge(path);
      chunks.push(chunk);
    }
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    return { fault: error.message.replace(`${path} `, '').replace(/: fetch it again\.$/, ''), remedy: 'fetch it again' };
  }
  const bytes = Buffer.concat(chunks);
  return formatOf(path, bytes) ?? decodeUtf8(bytes) ?? notUtf8(path, bytes);
}

const decoder = new TextDecoder('utf-8', { fatal: true });
function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export type Values = Readonly<Record<string, unknown>>;

/** An object of a JSONL file, or a fault of its line; without a number, of the complete file. */
export type Entry = { readonly number: number; readonly value: Values } | (Fault & { readonly number?: number });

/** Yields the objects of a file and skips blank lines. */
export async function* objectsOf(path: string): AsyncGenerator<Entry> {
  let first = true;
  for await (const { number, bytes } of linesOf(path)) {
    const whole = first && bytes && (formatOf(path, bytes) ?? notLinesFault(path, bytes));
    if (whole) return yield whole;
    const text = bytes ? decodeUtf8(bytes) : undefined;
    if (bytes === null)
      yield { number, fault: `is too large: a line can have ${MAX_BYTES >> 20} MiB`, remedy: 'leave out what makes it so' };
    else if (text === undefined) yield { number, ...lineFault(notUtf8(path, bytes)) };
    else if (text.trim() !== '') yield { number, ...parseObject(path, text) };
    first &&= text?.trim() === '';
  }
}

/** Words a file's fault for one line, because other lines may be valid. */
const lineFault = ({ fault, remedy }: Fault): Fault => ({ fault, remedy: `${remedy} if all of it is so, else mend the line` });

/** Detects from its first line that a file is one list or object instead of one object per line. */
function notLinesFault(path: string, line: Buffer): Fault | undefined {
  const text = line.toString().replace('\ufeff', '').trim();
  if (!/^\[|^\{$/.test(text)) return undefined;
  if (text === '{')
    return { fault: 'is not JSON Lines: it begins an object of several lines', remedy: `write each as one (${byJq(path, '.')})` };
  return isJson(text)
    ? undefined
    : { fault: 'is not JSON Lines but a list', remedy: `write its entries one a line (${byJq(path, '.[]')})` };
}
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parseObject(path: string, text: string): { readonly value: Values } | Fault {
  if (text.trimStart().startsWith('['))
    return { fault: 'is not a JSON object but a list', remedy: `write its entries one a line (${byJq(path, '.[]')})` };
  const parsed = parseValue(text);
  if ('fault' in parsed) return parsed;
  if (typeof parsed.value !== 'object' || parsed.value === null) return { fault: 'is not a JSON object', remedy: 'mend the line' };
  return { value: parsed.value as Values };
}

/** Parses JSON. Integers beyond 2^53 become texts. */
export function parseValue(text: string): { readonly value: unknown } | Fault {
  const wrong = (fault: string): Fault => ({ fault, remedy: 'mend the line' });
  try {
    const value: unknown = JSON.parse(text);
    if (isDeeper(value, MAX_DEPTH)) return wrong(`is nested more than ${MAX_DEPTH} deep`);
    return { value: bigNumber.test(text) ? JSON.parse(text, keepBigIntegers as typeof reviver) : value };
  } catch (error) {
    if (error instanceof TooLarge) return wrong(error.message);
    return wrong(`is not JSON (${(error as Error).message.replaceAll(/\p{Cc}/gu, '\ufffd')})`);
  }
}

/** Maximum nesting of lists and objects. */
const MAX_DEPTH = 500;
const isDeeper = (value: unknown, left: number): boolean =>
  typeof value === 'object' && value !== null && (left === 0 || Object.values(value).some((inner) => isDeeper(inner, left - 1)));

/** Digits that may form a number beyond a double's precision. */
const bigNumber = /\d{16}|\d[eE]\+?\d{3}/;
class TooLarge extends Error {}
declare const reviver: (this: unknown, key: string, value: unknown) => unknown;
/** Keeps an integer beyond 2^53 (an id) as a text: rounding would make different ids equal. */
function keepBigIntegers(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  if (/^-?\d+$/.test(source!)) return source;
  if (!Number.isFinite(value)) throw new TooLarge(`has the number ${source}, which is too large`);
  return value;
}

/** Returns the value at the path `a.b.c`. */
export const getAt = (value: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
      value,
    );

/** Names files by their paths relative to their innermost common folder, so that the names do not depend on where that folder is. */
export function namesOf(files: readonly string[]): (file: string) => string {
  const folders = files.map((file) => dirname(file).split(sep));
  const [first = []] = folders;
  const differs = first.findIndex((part, at) => folders.some((folder) => folder[at] !== part));
  const common = first.slice(0, differs === -1 ? first.length : differs).join(sep);
  return (file) =>
    relative(common === '' ? sep : common, file)
      .split(sep)
      .join('/');
}
