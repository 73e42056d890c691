/** Loaded into a process (`node --import`), tells once a second how long its event loop was held: p99 in milliseconds, and the most, since its
 *  start, in the file DELAYS/PID. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const folder = process.env['DELAYS'];
if (folder && isMainThread) {
  const loop = monitorEventLoopDelay({ resolution: 10 });
  setTimeout(() => loop.enable(), 3_000).unref(); // what is loaded at the start holds it up, and nobody
  setInterval(() => {
    const file = join(folder, `${process.pid}`);
    writeFileSync(`${file}.part`, JSON.stringify({ p99: loop.percentile(99) / 1e6, most: loop.max / 1e6 }));
    renameSync(`${file}.part`, file);
  }, 1_000).unref();
}
