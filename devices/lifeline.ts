/** A named pipe that shows whether its owner lives. Subprocesses end when the owner ends, not when their worker does. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, rmSync } from 'node:fs';

export interface Lifeline {
  readonly path: string;
  /** Closes the pipe, so every process group that depends on it ends. The death of this process has the same effect. */
  close(): void;
}

/** Makes the pipe and holds it open. The owner is `backspin up`, so a model server outlives its worker and the next worker adopts it.
 *  Without an `up` the worker itself is the owner. */
export function makeLifeline(path: string): Lifeline {
  rmSync(path, { force: true });
  execFileSync('mkfifo', ['-m', '600', path]);
  const fd = openSync(path, constants.O_RDWR); // close-on-exec: no subprocess inherits it
  return { path, close: () => closeSync(fd) };
}

/** Opens the reading end without waiting. If the owner is dead already, a read returns the end of the file. */
export const openLifeline = (path: string): number => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
