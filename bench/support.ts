/** Gives benches a home of their own with everything up, the command, and the form of their results. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Measured, View } from '../experiments/view.ts';

export type Row = Measured;
export const command = resolve(import.meta.dirname, '../cli/backspin.js');

export interface Home {
  readonly folder: string;
  /** Returns the command's output; throws if it fails. */
  run(...args: string[]): Promise<string>;
  /** Returns the exit code. */
  try(...args: string[]): Promise<number | null>;
  status(name: string): Promise<View>;
  /** Stops everything and removes the home. */
  down(): Promise<void>;
}

/** Starts a fresh home; its workers also get `env`. */
export async function homeFor(name: string, env: Readonly<Record<string, string>> = {}): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), `backspin-bench-${name}-`));
  const start = async (args: string[]) => {
    const child = spawn(process.execPath, [command, ...args], {
      env: { ...process.env, ...env, BACKSPIN_HOME: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<number | null>((done) => child.once('close', done));
    const said = await text(child.stdout);
    return { said, code: await ended };
  };
  const home: Home = {
    folder,
    async run(...args) {
      const { said, code } = await start(args);
      if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${said}`);
      return said;
    },
    try: async (...args) => (await start(args)).code,
    status: async (experiment) => JSON.parse(await home.run('status', experiment, '--json')) as View,
    async down() {
      await home.run('down');
      await rm(folder, { recursive: true });
    },
  };
  await home.run('up', '--detach');
  return home;
}

/** A bench's result: rows of a table, and bounds that must hold. */
export interface Result {
  readonly rows: readonly object[];
  readonly bounds?: readonly Bound[];
}
export interface Bound {
  readonly what: string;
  readonly is: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}
export const meets = ({ is, atLeast = -Infinity, atMost = Infinity }: Bound): boolean => is >= atLeast && is <= atMost;

export const machine = () => ({
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  gigabytes: Math.round(totalmem() / 2 ** 30),
  node: process.version,
});
/** Load average of the last minute. Above the number of cores, other programs used the machine, and ratios come out worse. */
export const busy = (): number => Number(loadavg()[0]!.toFixed(2));
/** The commit, with a + if files differ from it. */
export const sources = (): string => execFileSync('git', ['describe', '--always', '--dirty=+'], { encoding: 'utf8' }).trim();
export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));
