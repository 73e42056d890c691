/** Provides folders, lifelines and fake programs for tests of subprocesses, and an owner process that tests can kill. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { makeLifeline } from '../../devices/lifeline.ts';
import { embedded } from '../../devices/engines/embedded.ts';
import { stopGroup } from '../../devices/processes.ts';
import type { ServerOptions } from '../../devices/server.ts';
import type { TrainOptions } from '../../devices/trainer.ts';
import type { SlotRecord } from '../../schemas/devices.ts';
import type { TrainSpec } from '../../schemas/trainer.ts';

export const fakePython = join(import.meta.dirname, 'fake-python.mjs');
export const trainerPath = join(import.meta.dirname, '../../trainer');
/** The Python of set-up's environment. */
export const realPython = (): string =>
  (JSON.parse(readFileSync(join(import.meta.dirname, '../../node_modules/.backspin-setup.json'), 'utf8')) as { python: string }).python;

/** Polls, because other processes emit no event. */
export async function until<T>(what: () => T | undefined | false | Promise<T | undefined | false>, milliseconds = 300_000): Promise<T> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await delay(10)) {
    const found = await what();
    if (found) return found;
  }
  throw new Error('it did not happen in time');
}

export interface Place {
  readonly home: string;
  /** The subprocess's folder: specs, logs, and the files by which a test controls the fake. */
  readonly folder: string;
  readonly lifeline: ReturnType<typeof makeLifeline>;
  record(slot?: string): SlotRecord | undefined;
  /** Process ids of all starts of the fake. */
  starts(): number[];
  /** The record of the first subprocess, once the fake runs and its owner has written the record. */
  started(): SlotRecord | false;
}

/** Makes a home for a test; stops all processes in it at the end of the test. */
export function place(t: ExecutionContext): Place {
  const home = mkdtempSync(join(tmpdir(), 'backspin-devices-'));
  const folder = join(home, 'run');
  mkdirSync(folder);
  const lifeline = makeLifeline(join(home, 'lifeline'));
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
  const record = (slot = 'cpu-0') => {
    const text = read(join(home, 'devices', `${slot}.json`));
    return text === undefined ? undefined : (JSON.parse(text) as SlotRecord);
  };
  t.teardown(async () => {
    const devices = join(home, 'devices');
    for (const file of existsSync(devices) ? readdirSync(devices) : [])
      await stopGroup(JSON.parse(read(join(devices, file))!) as SlotRecord, 0);
    rmSync(home, { recursive: true, force: true });
  });
  const starts = () => (read(join(folder, 'starts')) ?? '').trim().split('\n').filter(Boolean).map(Number);
  const started = () => {
    const found = record();
    return starts().length === 1 && found !== undefined && found.pgid !== null && found;
  };
  return { home, folder, lifeline, record, starts, started };
}

type Free = 'slot' | 'signal';
/** The embedded engine with two slots and one thread, and a model folder. */
export const engine = (served = 'm', folder = '/nowhere', python = fakePython) =>
  embedded({ slots: 2, threads: 1, maxModelLength: null, python, trainerPath }, { [served]: { folder, base: null } });
export const serving = ({ folder, lifeline }: Place): Omit<ServerOptions, Free> => ({
  key: 'serve.k',
  attempt: 1,
  engine: engine(),
  folder,
  lifeline: lifeline.path,
  health: { every: 100, timeout: 10_000, misses: 3 },
});

export const spec = (run: string, changes: Partial<TrainSpec> = {}): TrainSpec => ({
  version: 1,
  objective: 'sft',
  from: '/nowhere',
  base: null,
  init: null,
  lora: null,
  adapter: 'merge',
  data: join(run, 'rows.jsonl'),
  run,
  rows: null,
  seed: 1,
  steps: 6,
  batch: 4,
  microBatch: null,
  shard: 'none',
  maxTokens: 64,
  tooLong: 'drop',
  learningRate: { from: 1e-3, to: 1e-4 },
  schedule: 'linear',
  warmup: 0,
  weightDecay: 0.01,
  betas: [0.9, 0.98],
  clip: 1,
  dropout: 0,
  optimizer: 'adamw',
  quantization: 'none',
  attention: 'sdpa',
  packing: false,
  liger: false,
  deterministic: false,
  beta: null,
  reference: null,
  evaluate: null,
  loss: 'sigmoid',
  gamma: null,
  sft: 0,
  checkpointEvery: 2,
  checkpointSeconds: 600,
  keepCheckpoints: 2,
  threads: 1,
  ...changes,
});
export const training = ({ folder, lifeline }: Place): Omit<TrainOptions, Free> => ({
  key: 'train.k',
  attempt: 1,
  spec: spec(folder),
  python: fakePython,
  trainerPath,
  lifeline: lifeline.path,
});

/** A worker process that serves (by the embedded engine) or trains on `cpu-0` and can be killed. */
export function owner(
  t: ExecutionContext,
  { home }: Place,
  verb: 'serve' | 'train',
  options: Omit<ServerOptions | TrainOptions, Free>,
  python = fakePython,
  model = '/nowhere',
): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'owner.ts'), verb, home, JSON.stringify(options), python, model], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}
