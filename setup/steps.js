/** Runs the steps of set-up and prints a line for each. */
import fs from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { digest } from './files.js';

/** Lines to print below the current step. */
export const notes = new Set();

/** Prints one line: returns the result of `find`, or else of `make`, while no other set-up works in `place`. */
export async function step(label, place, find, make) {
  const start = performance.now();
  process.stdout.write(`${label} `.padEnd(22, '.') + ' ');
  try {
    let found = await find();
    const cached = found !== undefined;
    found ??= await exclusive(place, async (lock) => (await find()) ?? (await make(lock)));
    console.log(cached ? 'cached' : seconds(start));
    return found;
  } catch (error) {
    console.log('failed');
    throw error;
  } finally {
    for (const note of notes) console.log(`  ${note}`);
    notes.clear();
  }
}

/**
 * Runs `work` while no other set-up works in `place`. The lock is an abstract socket, which the kernel releases when its
 * last holder ends. Subprocesses inherit it, so a subprocess that outlives a killed set-up still holds it.
 */
async function exclusive(place, work) {
  if (process.platform !== 'linux') return work();
  for (let waited = false; ; waited = true) {
    const lock = createServer();
    try {
      await new Promise((resolve, reject) =>
        lock.once('error', reject).listen(`\0backspin-setup-${digest(fs.realpathSync(place))}`, resolve),
      );
    } catch (error) {
      if (error.code !== 'EADDRINUSE') throw error;
      if (!waited) hint('waiting for another set-up');
      await sleep(200);
      continue;
    }
    try {
      return await work(lock._handle.fd); // there is no public way to hand a listening socket down
    } finally {
      lock.close();
    }
  }
}

export function hint(text) {
  process.stdout.write(`${text} ... `);
}

export function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
