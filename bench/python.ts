/** Starts the product's Python processes by hand, without supervision or storage. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pythonOf } from '../devices/python.ts';
import { trainerEnvironment } from '../devices/python.ts';
import { ready, type ServeSpec } from '../schemas/devices.ts';
import type { TrainSpec } from '../schemas/trainer.ts';

/** A running model server, and a function that stops it. */
export interface Serving {
  readonly url: string;
  readonly key: string;
  stop(): Promise<void>;
}

export async function serve(
  models: ServeSpec['models'],
  slots: number,
  threads: number,
  maxModelLength: number | null = null,
): Promise<Serving> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-serve-'));
  const file = join(folder, 'ready.json');
  const spec: ServeSpec = {
    version: 1,
    models,
    host: '127.0.0.1',
    port: 0,
    ready: file,
    slots,
    threads,
    maxModelLength,
    accessLog: join(folder, 'access.jsonl'),
  };
  const child = await trainer('serve', spec, folder, { BACKSPIN_SERVE_KEY: 'key' });
  const gone = once(child, 'exit');
  let text: string | undefined;
  while ((text = await readFile(file, 'utf8').catch(() => undefined)) === undefined) {
    if (child.exitCode !== null) throw new Error(`the model server ended with exit code ${child.exitCode}`);
    await delay(10);
  }
  return {
    url: `http://127.0.0.1:${ready.parse(JSON.parse(text)).port}`,
    key: 'key',
    async stop() {
      child.kill();
      await gone;
      await rm(folder, { recursive: true });
    },
  };
}

export async function train(spec: TrainSpec): Promise<void> {
  const child = await trainer('train', spec, spec.run);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the training ended with exit code ${code}`);
}

async function trainer(verb: 'serve' | 'train', spec: object, folder: string, env: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
  const file = join(folder, `${verb}.json`);
  await writeFile(file, JSON.stringify(spec));
  const { python, trainerPath } = pythonOf();
  return spawn(python, ['-m', 'backspin_trainer', verb, '--spec', file], {
    env: { ...process.env, ...trainerEnvironment(trainerPath), ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
