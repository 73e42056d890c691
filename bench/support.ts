/** What benches share: a home of their own with everything up, and the command as a user types it. */
import { spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Measured, View } from '../cli/view.ts';

export type Row = Measured;
export const command = resolve(import.meta.dirname, '../cli/backspin.js');

export interface Home {
  readonly folder: string;
  /** Gives what the command printed; throws when it failed. */
  run(...args: string[]): Promise<string>;
  /** Gives the exit code. */
  try(...args: string[]): Promise<number | null>;
  status(name: string): Promise<View>;
  down(): Promise<void>;
}

/** A fresh home, up. */
export async function homeFor(name: string): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), `backspin-bench-${name}-`));
  const start = async (args: string[]) => {
    const child = spawn(process.execPath, [command, ...args], {
      env: { ...process.env, BACKSPIN_HOME: folder },
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
    down: async () => void (await home.run('down')),
  };
  await home.run('up', '--detach');
  return home;
}

export const machine = () => ({
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  gigabytes: Math.round(totalmem() / 2 ** 30),
  node: process.version,
});
