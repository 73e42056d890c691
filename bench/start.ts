/** `npm run bench -- start`: how long `--help` of every command takes, beside an empty Node script in the same run. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { command } from './support.ts';

const run = promisify(execFile);
const VERBS = [
  'up',
  'down',
  'doctor',
  'plan',
  'launch',
  'list',
  'status',
  'watch',
  'cancel',
  'show',
  'fork',
  'export',
  'approve',
  'retry-step',
  'give-up',
  'gc',
];
const TIMES = 7;

async function median(args: string[]): Promise<number> {
  const times = [];
  for (let i = 0; i < TIMES; i++) {
    const began = performance.now();
    await run(process.execPath, args);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[(TIMES - 1) / 2]!;
}

export async function start(): Promise<object[]> {
  const empty = await median(['-e', '0']);
  const table: object[] = [{ command: 'an empty script', milliseconds: Math.round(empty), ratio: 1 }];
  for (const verb of VERBS) {
    const milliseconds = await median([command, verb, '--help']);
    table.push({
      command: `backspin ${verb} --help`,
      milliseconds: Math.round(milliseconds),
      ratio: Number((milliseconds / empty).toFixed(2)),
    });
  }
  return table;
}
