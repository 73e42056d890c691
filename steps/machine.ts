/** Identifies the parts of this machine that results depend on: the trainer, the pools' devices, and files. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { pythonOf, trainerIdentity, type TrainerIdentity } from '../devices/python.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { poolDevices, poolMemory } from '../schemas/devices.ts';
import type { SubprocessVerb } from '../schemas/trainer.ts';
import { FileDigests } from '../store/digests.ts';
import type { Store } from '../store/store.ts';

export interface Machine {
  readonly files: Pick<FileDigests, 'of'>;
  /** Code and package versions behind a verb of the trainer; `serve` is the embedded server. */
  trainer(verb: keyof TrainerIdentity): Promise<object>;
  /** What a pool computes on: `cpu`, or `cuda` with the compute capabilities of its devices. */
  device(pool: string): string;
  /** Bytes of memory of each device of each group of a pool; undefined: unknown. */
  groups(pool: string): readonly (readonly number[])[] | undefined;
  /** Whether that is known. */
  knows(pool: string): boolean;
  /** Learns what a pool of other hosts computes on, unless it is known. */
  learn(pool: string): Promise<void>;
}

/** `home` holds the file in which `up` records the devices of its pools; `store`, if hosts share it, those of all hosts. An unknown pool counts
 *  as CPU. */
export function machineOf(home?: string, store?: Pick<Store, 'shared' | 'blobs'>): Machine {
  const others = new Map<string, string>();
  const own = (pool: string) => (home === undefined ? undefined : devicesIn(home)[pool]);
  return {
    files: new FileDigests(home && join(home, 'digests')),
    trainer: async (verb) => (await trainerIdentity(pythonOf()))[verb],
    knows: (pool) => (own(pool) ?? others.get(pool)) !== undefined,
    device: (pool) => own(pool) ?? others.get(pool) ?? 'cpu',
    groups: (pool) => (home === undefined ? undefined : memoryIn(home)[pool]),
    async learn(pool) {
      if (!store?.shared || own(pool) !== undefined || others.has(pool)) return;
      const device = await sharedDevice(store, pool);
      if (device !== undefined) others.set(pool, device);
    },
  };
}

export const poolsFile = (home: string): string => join(home, 'pools.json');
export const poolMemoryFile = (home: string): string => join(home, 'pool-memory.json');

export const devicesIn = (home: string): Readonly<Record<string, string>> => readKnown(poolsFile(home), poolDevices);
export const memoryIn = (home: string): Readonly<Record<string, readonly (readonly number[])[]>> =>
  readKnown(poolMemoryFile(home), poolMemory);

/** A file that is missing or damaged knows nothing. */
function readKnown<T>(path: string, schema: z.ZodType<Record<string, T>>): Record<string, T> {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return {};
  }
}

/** What a pool computes on, in a store that hosts share: the same on all of them. */
export const sharedPoolFile = ({ blobs }: Pick<Store, 'blobs'>, pool: string): string => join(blobs.paths.root, 'pools', `${pool}.json`);
const sharedPool = z.object({ device: z.string() });
export async function sharedDevice(store: Pick<Store, 'blobs'>, pool: string): Promise<string | undefined> {
  const text = (await store.blobs.read(sharedPoolFile(store, pool)))?.toString();
  return text === undefined ? undefined : sharedPool.parse(JSON.parse(text)).device;
}

export const threadsOf = ({ threads }: BoundConfig['training']): number => threads ?? cpus().length;

/** Identity of a subprocess on the training pool, for the step's key. On a CPU the number of threads changes the order of sums, and so the
 *  last bits. */
export async function computing(machine: Machine, verb: SubprocessVerb, training: BoundConfig['training']): Promise<object> {
  if (verb === 'train' && training.command) {
    const { run, config, version } = training.command;
    return { command: { run, config: config && config.text, version } };
  }
  const device = machine.device(training.pool);
  const { deterministic } = training;
  return {
    ...(await machine.trainer(verb)),
    device,
    ...(device === 'cpu' && { threads: threadsOf(training) }),
    ...(verb === 'train' && device !== 'cpu' && deterministic && { deterministic }),
  };
}

/** CUDA kernels add in no fixed order, so a repeated training gives other bits, unless it asks for those that do. Of a command nothing is
 *  known. */
export const repeatsOn = (machine: Machine, verb: SubprocessVerb, { pool, command, deterministic }: BoundConfig['training']): boolean =>
  verb === 'train' ? !command && (machine.device(pool) === 'cpu' || deterministic === true) : machine.device(pool) === 'cpu';
