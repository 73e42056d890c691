/** Finds and removes what tests leave behind: temporary folders and processes. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kill, startedWith, wordsOf } from '../../host/proc.ts';

/** Makes a folder for the temporary files of this process and its subprocesses, which find it in their environment. */
export function ownTemporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'backspin-test-')));
  process.env['TMPDIR'] = folder;
  return folder;
}

/**
 * Removes the folder and kills the processes that use it for temporary files. Blocks, so that it can be the last act of a process.
 *
 * @param grace Milliseconds for processes that are ending by themselves.
 * @returns A sentence for each process that was still running and each folder that could not be removed.
 */
export function sweep(folder: string, grace: number): string[] {
  const end = Date.now() + grace;
  while (processesOf(folder).length > 0 && Date.now() < end) pause(50);
  const left = new Map<number, string>();
  // Repeatedly: a living process may restart a killed one.
  for (let found = processesOf(folder), tries = 0; found.length > 0 && tries < 100; found = processesOf(folder), tries++) {
    for (const { pid, command } of found) {
      left.set(pid, `left running: ${command} (${pid})`);
      kill(pid);
    }
    pause(50);
  }
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    return [...left.values()];
  } catch (error) {
    return [...left.values(), `left there: ${(error as Error).message}`];
  }
}

/** Linux only: other systems do not show the environment of a process. */
function processesOf(folder: string): { readonly pid: number; readonly command: string }[] {
  if (process.platform !== 'linux') return [];
  return startedWith(`TMPDIR=${folder}`).map((pid) => ({ pid, command: wordsOf(pid).join(' ').trim() }));
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
