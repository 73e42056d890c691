/** Reads other processes' environment and command line from Linux's /proc. */
import { readFileSync, readdirSync } from 'node:fs';

/** Living processes, except this one, with `entry` in their environment: `NAME=value\0`, or a prefix of it. */
export function startedWith(entry: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid && `\0${textOf(`/proc/${pid}/environ`)}`.includes(`\0${entry}`));
}

/** The command line of a process as a list of words. */
export const wordsOf = (pid: number): string[] => textOf(`/proc/${pid}/cmdline`).split('\0');

/** Content of a file. Empty if there is no such file; in /proc, also for a zombie and for other users' processes. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // the process has ended meanwhile
  }
}
