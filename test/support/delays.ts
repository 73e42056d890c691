/** Writes the event loop delay of a process (`node --import`) once a second into the file DELAYS/PID: the 99th percentile and the
 *  maximum since its start, in milliseconds. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const folder = process.env['DELAYS'];
if (folder && isMainThread) {
  const loop = monitorEventLoopDelay({ resolution: 10 });
  setTimeout(() => loop.enable(), 3_000).unref(); // loading modules at the start blocks the loop, but no work waits then
  setInterval(() => {
    const file = join(folder, `${process.pid}`);
    writeFileSync(`${file}.part`, JSON.stringify({ p99: loop.percentile(99) / 1e6, most: loop.max / 1e6 }));
    renameSync(`${file}.part`, file);
  }, 1_000).unref();
}
