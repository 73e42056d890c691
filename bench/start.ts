/** `start`: measures how long a user waits for `--help` of every verb and for a launch, next to an empty Node script in the same run.
 *  Milliseconds, the median of seven. */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { command, homeFor, rounded, type Result } from './support.ts';

const run = promisify(execFile);
const FILE = resolve(import.meta.dirname, '../test/support/miniature.yaml');
const TIMES = 7;

async function median(body: (time: number) => Promise<unknown>): Promise<number> {
  const times = [];
  for (let time = 0; time < TIMES; time++) {
    const began = performance.now();
    await body(time);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[(TIMES - 1) / 2]!;
}

export async function start(): Promise<Result> {
  const empty = await median(() => run(process.execPath, ['-e', '0']));
  const row = (what: string, milliseconds: number) => ({
    command: what,
    milliseconds: Math.round(milliseconds),
    ratio: rounded(milliseconds / empty),
  });
  const rows = [row('an empty script', empty)];
  const { stdout } = await run(process.execPath, [command, '--help']);
  for (const [, verb] of stdout.matchAll(/^ {2}([a-z-]+) /gm))
    if (verb !== 'help') rows.push(row(`backspin ${verb} --help`, await median(() => run(process.execPath, [command, verb!, '--help']))));

  const home = await homeFor('start');
  try {
    const names = Array.from({ length: TIMES }, (_, time) => `launched-${time}`);
    rows.push(row('backspin launch FILE', await median((time) => home.run('launch', FILE, '--name', names[time]!))));
    rows.push(row('backspin launch FILE, a second time', await median((time) => home.run('launch', FILE, '--name', names[time]!))));
    rows.push(row('backspin status NAME', await median((time) => home.run('status', names[time]!))));
    for (const name of names) await home.run('cancel', name);
  } finally {
    await home.down();
  }
  const help = Math.max(...rows.filter(({ command: what }) => what.endsWith('--help')).map(({ ratio }) => ratio));
  return { rows, bounds: [{ what: 'times an empty script for --help', is: help, atMost: 4 }] };
}
