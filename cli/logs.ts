/** `backspin logs NAME STEP`: prints the ends of the log files that tell about a step. */
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { currentRecord } from '../experiments/current.ts';
import { logsOf, type LogFile } from '../experiments/logs.ts';
import { experimentOf } from '../experiments/record.ts';
import { findStep } from '../experiments/steps.ts';
import { openHome } from '../host/home-store.ts';
import { linesFrom } from '../store/files.ts';

interface Options {
  readonly lines: number;
  readonly all?: boolean;
  readonly follow?: boolean;
}

/** Milliseconds between two looks. */
const EVERY = 500;

export async function run(name: string, wanted: string, { lines, all = false, follow = false }: Options): Promise<void> {
  const store = await openHome();
  const record = await currentRecord(await experimentOf(store, name));
  const step = findStep(record, wanted);
  const logs = logsOf(store, record, step);
  const own = logs.filter(({ shared }) => !shared);
  const shown = all || own.length === 0 ? logs : own;
  if (step.state === 'completed' && own.length === 0)
    console.log(`${step.path} is completed, and its own logs went with its scratch files. These are of all steps:\n`);
  const ends = new Map(shown.map((log) => [log.path, printEnd(log, lines)]));
  if (shown.length === 0) console.log(`There are no logs of ${step.path} on this machine.`);
  const others = logs.filter((log) => !shown.includes(log));
  if (others.length > 0) console.log(`\nMore, with --all: ${others.map(({ what, path }) => `${path} (${what})`).join(', ')}`);
  while (follow) {
    await wait(EVERY);
    for (const log of logsOf(store, record, step)) {
      if (!shown.includes(log) && !ends.has(log.path) && log.shared && !all) continue;
      const { lines: more, end } = linesFrom(log.path, ends.get(log.path) ?? 0);
      if (more.length > 0) console.log(more.map(lastOfLine).join('\n'));
      ends.set(log.path, end);
    }
  }
}

/** Returns the length of the file. */
function printEnd({ path, what }: LogFile, count: number): number {
  const text = readFileSync(path, 'utf8');
  const lines = text.trimEnd().split('\n');
  console.log(`── ${path}, ${what}`);
  console.log(lines.slice(-count).map(lastOfLine).join('\n'));
  return Buffer.byteLength(text);
}

/** What a progress bar has left on its line. */
const lastOfLine = (line: string): string => line.replace(/\r$/, '').split('\r').at(-1)!;
