/** Identifies the parts of this machine that results depend on: the trainer, the pools' devices, and files. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { pythonOf, trainerIdentity, type TrainerIdentity } from '../devices/python.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { poolDevices, poolMemory } from '../schemas/devices.ts';
import type { SubprocessVerb } from '../schemas/trainer.ts';
import { FileDigests } from '../store/digests.ts';

export interface Machine {
  readonly files: Pick<FileDigests, 'of'>;
  /** Code and package versions behind a verb of the trainer; `serve` is the embedded server. */
  trainer(verb: keyof TrainerIdentity): Promise<object>;
  /** What a pool computes on: `cpu`, or `cuda` with the compute capabilities of its devices. */
  device(pool: string): string;
  /** Bytes of memory of each device of each group of a pool; undefined: unknown. */
  groups(pool: string): readonly (readonly number[])[] | undefined;
}

/** `home` holds the file in which `up` records the devices of its pools. An unknown pool counts as CPU. */
export function machineOf(home?: string): Machine {
  return {
    files: new FileDigests(home && join(home, 'digests')),
    trainer: async (verb) => (await trainerIdentity(pythonOf()))[verb],
    device: (pool) => (home === undefined ? undefined : devicesIn(home)[pool]) ?? 'cpu',
    groups: (pool) => (home === undefined ? undefined : memoryIn(home)[pool]),
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

export const threadsOf = ({ threads }: BoundConfig['training']): number => threads ?? cpus().length;

/** Identity of a subprocess on the training pool, for the step's key. On a CPU the number of threads changes the order of sums, and so the
 *  last bits. */
export async function computing(machine: Machine, verb: SubprocessVerb, training: BoundConfig['training']): Promise<object> {
  if (verb === 'train' && training.command) {
    const { run, config, version } = training.command;
    return { command: { run, config: config && config.text, version } };
  }
  const device = machine.device(training.pool);
  return { ...(await machine.trainer(verb)), device, ...(device === 'cpu' ? { threads: threadsOf(training) } : {}) };
}

/** CUDA kernels add in no fixed order, so a repeated training gives other bits. Of a command nothing is known. */
export const repeatsOn = (machine: Machine, verb: SubprocessVerb, { pool, command }: BoundConfig['training']): boolean =>
  machine.device(pool) === 'cpu' && !(verb === 'train' && command);
