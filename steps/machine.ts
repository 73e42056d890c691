/** What of this machine the results of a step depend on: the trainer, the devices of a pool, the bytes of files. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { pythonOf, trainerIdentity, type TrainerIdentity } from '../devices/python.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { poolDevices } from '../schemas/devices.ts';
import { FileDigests } from '../store/digests.ts';

export interface Machine {
  readonly files: Pick<FileDigests, 'of'>;
  /** Code and packages of a verb of the trainer: `serve` is the embedded server. */
  trainer(verb: keyof TrainerIdentity): Promise<object>;
  /** What a pool computes on: `cpu`, or `cuda` with the compute capability of its devices. */
  device(pool: string): string;
}

/** `home` is where `up` writes what its pools have; a pool that it has never had computes on the CPU. */
export function machineOf(home?: string): Machine {
  return {
    files: new FileDigests(home && join(home, 'digests')),
    trainer: async (verb) => (await trainerIdentity(pythonOf()))[verb],
    device: (pool) => (home === undefined ? undefined : devicesIn(home)[pool]) ?? 'cpu',
  };
}

export const poolsFile = (home: string): string => join(home, 'pools.json');

export function devicesIn(home: string): Readonly<Record<string, string>> {
  try {
    return poolDevices.parse(JSON.parse(readFileSync(poolsFile(home), 'utf8')));
  } catch {
    return {};
  }
}

export const threadsOf = ({ threads }: BoundConfig['training']): number => threads ?? cpus().length;

/** What a subprocess of the training pool computes with, as part of a step's key. On a CPU the number of threads changes the order of
 *  sums, and so their bits. */
export async function computing(machine: Machine, verb: 'train' | 'embed' | 'score', training: BoundConfig['training']): Promise<object> {
  const device = machine.device(training.pool);
  return { ...(await machine.trainer(verb)), device, ...(device === 'cpu' ? { threads: threadsOf(training) } : {}) };
}

/** CUDA kernels add in no fixed order, so the same training gives other bits each time. */
export const repeatsOn = (machine: Machine, { pool }: BoundConfig['training']): boolean => machine.device(pool) === 'cpu';
