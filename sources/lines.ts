/** Files as they come: plain, .gz or .zst; lines end at a newline byte and nowhere else. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, relative, sep } from 'node:path';
import { pipeline, type Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { BackspinError } from '../schemas/errors.ts';
import { byJq, formatOf, notUtf8, splitBy, type Fault } from './unreadable.ts';

/** Bytes of a line, and of a document: what is larger would not fit into a shard of the store, and hardly into memory. */
const LARGEST = 32 * 2 ** 20;

/** The bytes of a file, unpacked by its ending. Throws `SchemaError` when that fails, or something is left over. */
async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  const packed = /\.(gz|zst)$/i.exec(path)?.[1]?.toLowerCase();
  try {
    if (packed === undefined) yield* createReadStream(path) as AsyncIterable<Buffer>;
    else if (packed === 'gz') yield* unpacked(path, createGunzip());
    else yield* framesOf(path);
  } catch (error) {
    if (packed === undefined) throw error;
    throw new BackspinError('SchemaError', `${path} cannot be unpacked (${(error as Error).message}): fetch it again.`, { cause: error });
  }
}
/** A failure comes out of the loop. */
const unpacked = (path: string, unpacking: Transform, start = 0) =>
  pipeline(createReadStream(path, { start }), unpacking, () => {}) as unknown as AsyncIterable<Buffer>;

/** Node ends with the first frame of a zstd file, and many have several. A frame may look back as far as its packer said (`--long`). */
async function* framesOf(path: string): AsyncGenerator<Buffer> {
  const { size } = await stat(path);
  for (let start = 0; start < size;) {
    const frame = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 31 } });
    yield* unpacked(path, frame, start);
    start += frame.bytesWritten;
  }
}

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without the newline; null: there are more than 32 MiB. */
  readonly bytes: Buffer | null;
}

async function* linesOf(path: string): AsyncGenerator<Line> {
  let number = 1;
  let open: Buffer[] = [];
  let length = 0;
  const add = (bytes: Buffer) => {
    length += bytes.length;
    if (length > LARGEST) open = [];
    else open.push(bytes);
  };
  const line = (): Line => {
    const bytes = length > LARGEST ? null : open.length === 1 ? open[0]! : Buffer.concat(open);
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

/** The text of a whole file, or why it cannot be had. */
export async function textOf(path: string): Promise<string | Fault> {
  const chunks: Buffer[] = [];
  try {
    let length = 0;
    for await (const chunk of bytesOf(path)) {
      length += chunk.length;
      if (length > LARGEST)
        return {
          fault: `is too large: a document can have ${LARGEST >> 20} MiB`,
          remedy: `split it (${splitBy(path, LARGEST >> 21)}) and name its parts`,
        };
      chunks.push(chunk);
    }
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    return { fault: error.message.replace(`${path} `, '').replace(/: fetch it again\.$/, ''), remedy: 'fetch it again' };
  }
  const bytes = Buffer.concat(chunks);
  return formatOf(path, bytes) ?? utf8(bytes) ?? notUtf8(path, bytes);
}

const decoder = new TextDecoder('utf-8', { fatal: true });
function utf8(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export type Values = Readonly<Record<string, unknown>>;

/** An object of a JSONL file, or what is wrong with its line; without a number, with the whole file. */
export type Entry = { readonly number: number; readonly value: Values } | (Fault & { readonly number?: number });

/** Blank lines are passed over. */
export async function* objectsOf(path: string): AsyncGenerator<Entry> {
  let first = true;
  for await (const { number, bytes } of linesOf(path)) {
    const whole = first && bytes && (formatOf(path, bytes) ?? severalLines(path, bytes));
    if (whole) return yield whole;
    const text = bytes ? utf8(bytes) : undefined;
    if (bytes === null) yield { number, fault: `is too large: a line can have ${LARGEST >> 20} MiB`, remedy: 'leave out what makes it so' };
    else if (text === undefined) yield { number, ...ofALine(notUtf8(path, bytes)) };
    else if (text.trim() !== '') yield { number, ...parsed(path, text) };
    first &&= text?.trim() === '';
  }
}

/** Others may be sound. */
const ofALine = ({ fault, remedy }: Fault): Fault => ({ fault, remedy: `${remedy} if all of it is so, else mend the line` });

/** Of a first line: that the file is one list or object, and not one in each line. */
function severalLines(path: string, line: Buffer): Fault | undefined {
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

function parsed(path: string, text: string): { readonly value: Values } | Fault {
  if (text.trimStart().startsWith('['))
    return { fault: 'is not a JSON object but a list', remedy: `write its entries one a line (${byJq(path, '.[]')})` };
  const wrong = (fault: string): Fault => ({ fault, remedy: 'mend the line' });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return wrong('is not a JSON object');
    if (isDeeper(value, DEEPEST)) return wrong(`is nested more than ${DEEPEST} deep`);
    return { value: (wide.test(text) ? JSON.parse(text, exactly as typeof reviver) : value) as Values };
  } catch (error) {
    if (error instanceof TooLarge) return wrong(error.message);
    return wrong(`is not JSON (${(error as Error).message.replaceAll(/\p{Cc}/gu, '\ufffd')})`);
  }
}

/** Lists and objects in one another. */
const DEEPEST = 500;
const isDeeper = (value: unknown, left: number): boolean =>
  typeof value === 'object' && value !== null && (left === 0 || Object.values(value).some((inner) => isDeeper(inner, left - 1)));

/** What a line may hold whose numbers a double cannot. */
const wide = /\d{16}|\d[eE]\+?\d{3}/;
class TooLarge extends Error {}
declare const reviver: (this: unknown, key: string, value: unknown) => unknown;
/** An integer beyond 2^53, an id, stays as it is written, as a text: rounded, two of them would be one. */
function exactly(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  if (/^-?\d+$/.test(source!)) return source;
  if (!Number.isFinite(value)) throw new TooLarge(`has the number ${source}, which is too large`);
  return value;
}

/** What lies at `a.b.c` of a value. */
export const at = (value: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
      value,
    );

/** Files as a person finds them again, wherever the whole lies: by their paths in the innermost folder that holds all of them. */
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
