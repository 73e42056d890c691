/** Gives each test file a folder of its own for temporary files (ava loads this first), and removes it however the file ends. A file
 *  that leaves a process running fails. */
import { writeSync } from 'node:fs';
import { ownTemporaryFolder, sweep } from './leftovers.ts';

const GRACE = 5_000;
const folder = ownTemporaryFolder();
let grace = GRACE;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    grace = 0;
    process.exit(1);
  });
process.on('exit', () => {
  const left = sweep(folder, grace);
  if (left.length === 0) return;
  writeSync(2, left.map((sentence) => `${sentence}\n`).join(''));
  process.exitCode = 1;
});
