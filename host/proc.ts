/** What Linux says of processes, in /proc. */
import { readFileSync, readdirSync } from 'node:fs';

/** Living processes, but for this one, that were started with `entry` in their environment: `NAME=value\0`, or how it begins. */
export function startedWith(entry: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid && `\0${textOf(`/proc/${pid}/environ`)}`.includes(`\0${entry}`));
}

/** The command line of a process, word by word. */
export const wordsOf = (pid: number): string[] => textOf(`/proc/${pid}/cmdline`).split('\0');

/** Empty where there is no such file, or no longer; in /proc, also for a zombie and for the processes of others. */
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
    // it has ended meanwhile
  }
}
