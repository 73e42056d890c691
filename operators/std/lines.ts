/** Files as they come: plain, .gz or .zst; lines end at a newline byte and nowhere else. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { BackspinError } from '../../schemas/errors.ts';

/** The bytes of a file, unpacked by its ending. Throws `SchemaError` when that fails, or something is left over. */
async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  const packed = createReadStream(path);
  if (!/\.(gz|zst)$/.test(path)) return yield* packed as AsyncIterable<Buffer>;
  const unpacking = path.endsWith('.gz') ? createGunzip() : createZstdDecompress();
  try {
    yield* pipeline(packed, unpacking, () => {}) as AsyncIterable<Buffer>; // a failure comes out of the loop
  } catch (error) {
    throw new BackspinError('SchemaError', `${path} cannot be unpacked (${(error as Error).message}): fetch it again.`, { cause: error });
  }
  // Node 24 reads the first frame of a zstd file and leaves the others without a word
  if (path.endsWith('.zst') && unpacking.bytesWritten < (await stat(path)).size)
    throw new BackspinError(
      'SchemaError',
      `${path} has several zstd frames, and only the first can be read: pack it anew with \`zstd -dc ${path} | zstd -o NEW.zst\`.`,
    );
}

export interface Line {
  /** From 1. */
  readonly number: number;
  readonly bytes: Buffer;
}

/** Lines without their newline. */
export async function* linesOf(path: string): AsyncGenerator<Line> {
  let number = 1;
  let open: Buffer[] = [];
  for await (const chunk of bytesOf(path)) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      yield {
        number: number++,
        bytes: open.length === 0 ? chunk.subarray(start, end) : Buffer.concat([...open, chunk.subarray(start, end)]),
      };
      open = [];
      start = end + 1;
    }
    if (start < chunk.length) open.push(chunk.subarray(start));
  }
  if (open.length > 0) yield { number, bytes: Buffer.concat(open) };
}

/** The text of a whole file. Throws `SchemaError` when it is not UTF-8. */
export async function textOf(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of bytesOf(path)) chunks.push(chunk);
  const text = utf8(Buffer.concat(chunks));
  if (text === undefined) throw new BackspinError('SchemaError', `${path} is not UTF-8: convert it (\`iconv -t utf-8\`).`);
  return text;
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

/** The objects of a JSONL file with the numbers of their lines, or what is wrong with a line. Blank lines are passed over. */
export async function* objectsOf(
  path: string,
): AsyncGenerator<{ readonly number: number; readonly value: Values } | { readonly number: number; readonly fault: string }> {
  for await (const { number, bytes } of linesOf(path)) {
    const text = utf8(bytes);
    if (text === undefined)
      yield { number, fault: number === 1 ? 'is not UTF-8 (what is packed must end in .gz or .zst)' : 'is not UTF-8' };
    else if (text.trim() !== '') yield { number, ...parsed(text) };
  }
}
function parsed(text: string): { readonly value: Values } | { readonly fault: string } {
  if (text.trimStart().startsWith('[')) return { fault: 'is not a JSON object but a list (`jq -c .[]` writes its entries one a line)' };
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return { fault: 'is not a JSON object' };
    if (isDeeper(value, DEEPEST)) return { fault: `is nested more than ${DEEPEST} deep` };
    return { value: (wide.test(text) ? JSON.parse(text, exactly as typeof reviver) : value) as Values };
  } catch (error) {
    if (error instanceof TooLarge) return { fault: error.message };
    return { fault: `is not JSON (${(error as Error).message.replaceAll(/\p{Cc}/gu, '\ufffd')})` };
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
