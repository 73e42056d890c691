/** `backspin up --detach`: starts `up` in the background and waits until it is ready, or reports why it failed. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { putAside } from '../devices/logs.ts';
import { BackspinError } from '../schemas/errors.ts';
import { homeFolder, inHome } from './home.ts';
import { addressOf, type Listen } from './ports.ts';

/** Options of `up`. */
export interface Options {
  readonly detach?: boolean;
  readonly pool?: readonly string[];
  readonly port?: number;
  readonly uiPort?: number;
  /** Gigabytes. */
  readonly lowWater?: number;
  readonly metrics?: Listen;
}

/** `say` gets the line that names the addresses. */
export async function detach(
  { pool = [], port, uiPort, lowWater, metrics }: Options,
  say: (line: string) => void = console.log,
): Promise<void> {
  mkdirSync(inHome('logs'), { recursive: true });
  const log = inHome('logs', 'up.log');
  putAside(log);
  const file = openSync(log, 'a');
  const begin = readFileSync(log).length;
  const options = [
    ...pool.flatMap((one) => ['--pool', one]),
    ...(port === undefined ? [] : ['--port', `${port}`]),
    ...(uiPort === undefined ? [] : ['--ui-port', `${uiPort}`]),
    ...(lowWater === undefined ? [] : ['--low-water', `${lowWater}`]),
    ...(metrics === undefined ? [] : ['--metrics', addressOf(metrics)]),
  ];
  const child = spawn(process.execPath, [join(import.meta.dirname, '..', 'cli', 'backspin.js'), 'up', ...options], {
    detached: true,
    stdio: ['ignore', file, file, 'ipc'],
    env: { ...process.env, BACKSPIN_HOME: homeFolder() },
  });
  closeSync(file);
  const ready = await new Promise<boolean>((resolve) => child.once('message', () => resolve(true)).once('exit', () => resolve(false)));
  const output = readFileSync(log).subarray(begin).toString().trimEnd();
  if (!ready) throw new BackspinError('ServerDown', output.split('\n').slice(-12).join('\n'));
  say(output.split('\n').at(-1)!);
  child.unref();
}
