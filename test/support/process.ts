/** Starts the programs of this folder in processes of their own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

const delays = resolve(import.meta.dirname, 'delays.ts');

/** Resolves with the program's first output. */
export async function started(file: string, args: readonly string[], env: object): Promise<{ child: ChildProcess; said: string }> {
  const nursery = args[0] === 'pool' ? [] : ['--max-semi-space-size=4']; // as `up` does
  const child = spawn(process.execPath, [...nursery, '--import', delays, resolve(import.meta.dirname, file), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, said: chunk.toString().trim() };
}

/** Sends SIGKILL, and resolves once the process has ended; it may have ended before. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
