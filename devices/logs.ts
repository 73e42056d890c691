/** Rotates logs of programs that run for weeks. */
import { renameSync, rmSync, statSync } from 'node:fs';

/** Bytes. */
const LARGE = 16 << 20;

/** Renames a large log to `LOG.1`, which replaces the previous one. Call it before a program opens the log: then each file holds at most
 *  one start, and the last start before is still there. */
export function putAside(log: string): void {
  const size = statSync(log, { throwIfNoEntry: false })?.size ?? 0;
  if (size < LARGE) return;
  rmSync(`${log}.1`, { force: true });
  renameSync(log, `${log}.1`);
}

/** Reports errors of background work that nothing awaits. */
export const report = (error: unknown): void => void process.stderr.write(`${(error as Error).message}\n`);
