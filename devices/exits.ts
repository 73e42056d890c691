/** Turns exit codes of subprocesses (`trainer/backspin_trainer/exits.py`) into errors and limits how often they may crash. */
import { closeSync, existsSync, fstatSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BackspinError, type ErrorType } from '../schemas/errors.ts';

const meanings: { readonly [code: number]: ErrorType } = {
  2: 'ConfigError', // also the exit code of Python's argument parser
  64: 'ConfigError',
  65: 'SchemaError',
  66: 'ConfigError',
  68: 'Down',
  69: 'ConfigError',
  71: 'OutOfMemory',
  73: 'DiskFull',
  75: 'Preempted',
  76: 'TrainingDiverged',
};

/** The error that an exit code stands for. Its message is what the subprocess reported last, or else the end of its log. */
export function errorOfExit(code: number | null, log: string, said: string = lastLines(log, 1)): BackspinError | undefined {
  const type = code === null ? undefined : meanings[code];
  return type && new BackspinError(type, said || `The child process ended with exit code ${code}; its log is ${log}.`);
}

export const OUT_OF_MEMORY = 71;
export const INTERRUPTED = 75;

/** Milliseconds, and the number of crashes within that time that is one too many. */
const CRASH_WINDOW = 600_000;
const MAX_CRASHES = 3;

/** Counts exits that no exit code explains. */
export class CrashCounter {
  #times: number[] = [];

  /** Throws CrashLoop at the third crash within ten minutes, or at the third without progress in between: a program that takes ten minutes
   *  to start may crash at once each time. Throws DiskFull, and counts nothing, if the disk is full. */
  add(what: string, how: string, log: string, madeProgress: boolean): void {
    checkDiskSpace(dirname(log));
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => !madeProgress || now - time < CRASH_WINDOW), now];
    if (this.#times.length < MAX_CRASHES) return;
    const when = now - this.#times[0]! < CRASH_WINDOW ? 'within ten minutes' : 'without getting on in between';
    throw new BackspinError(
      'CrashLoop',
      `${what} ended ${MAX_CRASHES} times ${when}, the last time ${how}. Its log ${log} ends with:\n${lastLines(log, 12)}`,
    );
  }
}

/** On a full disk a subprocess can write neither a message nor its exit code. */
function checkDiskSpace(folder: string): void {
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

/** Describes an exit for a message. */
export const describeExit = (code: number | null): string =>
  code === null ? 'killed' : code > 128 ? `by signal ${code - 128}` : `with exit code ${code}`;

/** Bytes to read from the end of a log, which may have gigabytes. */
const TAIL_BYTES = 2 ** 16;
function lastLines(path: string, count: number): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const text = tail.toString('utf8', 0, readSync(file, tail, 0, tail.length, size - tail.length)).trimEnd();
    const lines = text.split('\n');
    return (size > TAIL_BYTES && lines.length > 1 ? lines.slice(1) : lines).slice(-count).join('\n'); // the first line may be cut
  } finally {
    closeSync(file);
  }
}
