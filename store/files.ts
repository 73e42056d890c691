/** Writes files atomically: under a temporary name, then fsync, then rename. */
import { randomBytes } from 'node:crypto';
import { closeSync, createReadStream, createWriteStream, fstatSync, openSync, readSync } from 'node:fs';
import { access, link, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BackspinError } from '../schemas/errors.ts';

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;

/** Returns `undefined` if the file does not exist. */
export async function ifThere<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export const isThere = async (path: string): Promise<boolean> => (await ifThere(access(path).then(() => true))) ?? false;

/** Turns the error of a full disk or quota into a retryable `DiskFull`. */
export function writing(path: string, error: unknown): unknown {
  if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') return error;
  return new BackspinError(
    'DiskFull',
    `The disk is full and ${path} was not written: free some space (\`backspin gc\` shows what may go) and it goes on by itself.`,
    { cause: error },
  );
}

/** Makes a folder and its parents so that they survive a power failure. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = resolve(path); made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Makes new names in a folder survive a power failure. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A unique temporary name in `folder`. */
export const temporary = (folder: string, name: string): string =>
  join(folder, `.${name}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);

/** Writes a file and replaces any that has its name. `folder` holds the temporary file and must be on the same disk. */
export async function writeAtomic(path: string, data: string | Uint8Array, folder = dirname(path)): Promise<void> {
  await named(path, written(data), folder, rename);
}

/** Writes a file unless one of that name exists. Returns whether it wrote the file. Safe between processes. */
export async function putIfAbsent(path: string, data: string | Uint8Array, folder = dirname(path)): Promise<boolean> {
  try {
    await named(path, written(data), folder, link);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function named(
  path: string,
  write: (unnamed: string) => Promise<void>,
  folder: string,
  name: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const unnamed = temporary(folder, basename(path));
  try {
    await makeFolder(dirname(path));
    await write(unnamed);
    await name(unnamed, path);
    await syncFolder(dirname(path));
  } catch (error) {
    throw writing(path, error);
  } finally {
    await rm(unnamed, { force: true });
  }
}
const written = (data: string | Uint8Array) => (unnamed: string) => writeFile(unnamed, data, { flag: 'wx', flush: true });

/** Writes a whole JSONL file or none. Returns the number of lines. */
export async function writeLines(path: string, values: AsyncIterable<unknown>): Promise<number> {
  let lines = 0;
  async function* texts() {
    for await (const value of values) {
      lines++;
      yield `${JSON.stringify(value)}\n`;
    }
  }
  await named(path, (unnamed) => pipeline(texts, createWriteStream(unnamed, { flags: 'wx', flush: true })), dirname(path), rename);
  return lines;
}
/** Reads JSONL line by line. Only a newline ends a line: JSON may hold U+2028 and U+2029 unescaped, which `readline` takes for line ends.
 */
export async function* readLines(path: string): AsyncGenerator<unknown, undefined> {
  let rest = '';
  for await (const chunk of createReadStream(path, 'utf8') as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
  if (rest !== '') yield JSON.parse(rest);
}

/** Complete lines of a file after `offset`, and the offset of their end. Empty if there is no file. */
export function linesFrom(path: string, offset: number): { lines: string[]; end: number } {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return { lines: [], end: offset };
  }
  try {
    const { size } = fstatSync(file);
    if (size <= offset) return { lines: [], end: offset };
    const room = Buffer.allocUnsafe(size - offset);
    const bytes = room.subarray(0, readSync(file, room, 0, room.length, offset));
    const length = bytes.lastIndexOf(0x0a) + 1;
    return { lines: length === 0 ? [] : bytes.toString('utf8', 0, length - 1).split('\n'), end: offset + length };
  } finally {
    closeSync(file);
  }
}
