/** A named pipe that says whether its owner lives: the children of workers end with the owner, not with their worker. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, rmSync } from 'node:fs';

export interface Lifeline {
  readonly path: string;
  /** Lets go: every group that hangs on it ends. The death of this process does the same. */
  close(): void;
}

/**
 * Makes the pipe and holds it. The owner is `backspin up`, so that a model server outlives its worker and the next one adopts it;
 * or the worker itself where nobody would start a next one.
 */
export function makeLifeline(path: string): Lifeline {
  rmSync(path, { force: true });
  execFileSync('mkfifo', ['-m', '600', path]);
  const fd = openSync(path, constants.O_RDWR); // close-on-exec: no child holds it
  return { path, close: () => closeSync(fd) };
}

/** The reading end. Never waits; when the owner is dead already, it is at its end. */
export const openLifeline = (path: string): number => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
