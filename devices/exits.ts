/** What the ends of a child mean: the codes of `trainer/backspin_trainer/exits.py`, and how often it may just crash. */
import { closeSync, existsSync, fstatSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BackspinError, type ErrorType } from '../schemas/errors.ts';

const meanings: { readonly [code: number]: ErrorType } = {
  2: 'ConfigError', // of Python's argument parser
  64: 'ConfigError',
  65: 'SchemaError',
  66: 'ConfigError',
  69: 'ConfigError',
  73: 'DiskFull',
  75: 'Preempted',
  76: 'TrainingDiverged',
};

/** The error of an exit code that says what was wrong: the child's last words, which its log ends with if it said them nowhere else,
 *  are a sentence for whom it concerns. */
export function meaningOf(code: number | null, log: string, said: string = lastLines(log, 1)): BackspinError | undefined {
  const type = code === null ? undefined : meanings[code];
  return type && new BackspinError(type, said || `The child process ended with exit code ${code}; its log is ${log}.`);
}

/** Crashes within this time, in milliseconds, and how many of them are one too many. */
const WITHIN = 600_000;
const LIMIT = 3;

/** Counts ends without a meaning. */
export class Crashes {
  #times: number[] = [];

  /** Throws CrashLoop at the third within ten minutes, and at the third, whenever it comes, between which it never got on: what takes
   *  ten minutes to start may end at once each time. Throws DiskFull, and counts nothing, where a child cannot say how it ended. */
  add(what: string, how: string, log: string, gotOn: boolean): void {
    throwIfFull(dirname(log));
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => !gotOn || now - time < WITHIN), now];
    if (this.#times.length < LIMIT) return;
    const when = now - this.#times[0]! < WITHIN ? 'within ten minutes' : 'without getting on in between';
    throw new BackspinError(
      'CrashLoop',
      `${what} ended ${LIMIT} times ${when}, the last time ${how}. Its log ${log} ends with:\n${lastLines(log, 12)}`,
    );
  }
}

/** On a full disk a child leaves neither a word nor its exit code. */
function throwIfFull(folder: string): void {
  if (!existsSync(folder)) return;
  const file = join(folder, 'room');
  try {
    writeFileSync(file, Buffer.alloc(1 << 16));
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code!)) throw error;
    throw new BackspinError('DiskFull', `The disk that ${folder} is on is full: free some space and the step goes on by itself.`, {
      cause: error,
    });
  } finally {
    rmSync(file, { force: true });
  }
}

/** How it ended, for a message. */
export const described = (code: number | null): string =>
  code === null ? 'killed' : code > 128 ? `by signal ${code - 128}` : `with exit code ${code}`;

/** Bytes of a log that are looked at: it may have gigabytes. */
const TAIL = 2 ** 16;
function lastLines(path: string, count: number): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, TAIL));
    const text = tail.toString('utf8', 0, readSync(file, tail, 0, tail.length, size - tail.length)).trimEnd();
    const lines = text.split('\n');
    return (size > TAIL && lines.length > 1 ? lines.slice(1) : lines).slice(-count).join('\n'); // the first may be cut
  } finally {
    closeSync(file);
  }
}
