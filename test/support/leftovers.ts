/** What tests leave behind: folders of temporary files, and processes. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kill, startedWith, wordsOf } from '../../host/proc.ts';

/** A folder for the temporary files of this process and its children, which know it by their environment. */
export function ownTemporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'backspin-test-')));
  process.env['TMPDIR'] = folder;
  return folder;
}

/**
 * Removes the folder and ends the processes whose temporary files it was for. Blocks, so that it can be the last act of a process.
 *
 * @param grace Milliseconds for processes that are ending by themselves.
 * @returns What nobody had ended or could remove, a sentence each.
 */
export function sweep(folder: string, grace: number): string[] {
  const end = Date.now() + grace;
  while (processesOf(folder).length > 0 && Date.now() < end) pause(50);
  const left = new Map<number, string>();
  // More than once: what is killed may be started again by what is not yet.
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

/** On Linux: elsewhere the environment of a process is its own affair. */
function processesOf(folder: string): { readonly pid: number; readonly command: string }[] {
  if (process.platform !== 'linux') return [];
  return startedWith(`TMPDIR=${folder}`).map((pid) => ({ pid, command: wordsOf(pid).join(' ').trim() }));
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
