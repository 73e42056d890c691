/** Reads the device groups of this host's pools from `--pool`, else from `pools.yaml` in the home, else one CPU group. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { cudaCapabilities, cudaDevices, type Device } from '../devices/nvidia.ts';
import type { Pool } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { duration } from './duration.ts';
import { inHome } from './home.ts';
import { slurmSettings, type SlurmSettings } from './slurm/settings.ts';
import { Source } from '../schemas/yaml.ts';

export interface Pools {
  readonly [name: string]: Pool;
}

/** A group for each CUDA device that this host shows; under Slurm those of the job. */
const AUTO = 'auto';
const DEVICE = '(\\d+|GPU-[0-9a-f-]+)';
const groups = z.preprocess(
  (value) => (value === undefined || typeof value === 'string' ? value : JSON.stringify(value)),
  z
    .string()
    .regex(
      new RegExp(`^(auto|[1-9]\\d*|cuda:${DEVICE}([,+]${DEVICE})*)$`),
      'a number of groups without devices, such as 2, or devices by index or UUID are needed: cuda:0,1 are two groups, cuda:0+1 is one of two devices, auto is a group for each CUDA device',
    )
    .transform((text) =>
      text === AUTO
        ? [[AUTO]]
        : text.startsWith('cuda:')
          ? text
              .slice('cuda:'.length)
              .split(',')
              .map((group) => group.split('+'))
          : Array<string[]>(Number(text)).fill([]),
    ),
);
const pool = z.strictObject({ groups, keepWarm: duration.default(60_000), timeSlice: duration.default(600_000) });
const slurmPool = z.strictObject({ slurm: slurmSettings });
const names = z.record(z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and hyphens'), z.unknown());

/** Pools as declared, with devices by index or UUID. Throws one ConfigError with all problems. */
export const readPools = (options: readonly string[]): Pools =>
  options.length > 0 ? Object.fromEntries(options.map(parse)) : readFile().own;

/** Pools whose workers are Slurm jobs. */
export const readSlurmPools = (): Readonly<Record<string, SlurmSettings>> => readFile().slurm;

interface Declared {
  /** Pools of this host. */
  readonly own: Pools;
  readonly slurm: Readonly<Record<string, SlurmSettings>>;
}

/** Reads `pools.yaml`. */
function readFile(): Declared {
  const path = inHome('pools.yaml');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { own: { cpu: pool.parse({ groups: 1 }) }, slurm: {} };
    throw new BackspinError('ConfigError', `${path} cannot be read (${code}): mend it, or remove it.`);
  }
  const source = new Source(path, text);
  const slurm: Record<string, SlurmSettings> = {};
  const entries = Object.entries(source.check(names, source.value) ?? {});
  const declared = entries.flatMap(([name, own]) => {
    if (typeof own === 'object' && own !== null && 'slurm' in own) {
      const settings = source.check(slurmPool, own, [name]);
      if (settings) slurm[name] = settings.slurm;
      return [];
    }
    if (typeof own === 'object' && own !== null && !Array.isArray(own)) return [[name, source.check(pool, own, [name])]];
    const alone = source.check(groups, own, [name]);
    return [[name, alone && { ...pool.parse({ groups: 1 }), groups: alone }]];
  });
  if (entries.length === 0) source.problem([], 'declares no pool; write one, such as `cpu: 1`, or remove the file');
  source.throwIfAny();
  return { own: Object.fromEntries(declared) as Pools, slurm };
}

function parse(option: string): readonly [string, Pool] {
  const [, name, text] = /^([^=]*)=(.*)$/.exec(option) ?? [];
  const read = pool.safeParse({ groups: text });
  if (read.success && names.safeParse({ [name!]: null }).success) return [name!, read.data];
  throw new BackspinError(
    'ConfigError',
    `--pool ${option}: a pool and its device groups are needed, such as --pool cpu=1, --pool gpu=cuda:0,1 (two groups) or --pool gpu=cuda:0+1 (one of two devices).`,
  );
}

/** Replaces device indices by UUIDs. Throws ConfigError for a device that is missing or in two groups. */
export async function placed(declared: Pools): Promise<Pools> {
  const pools = await found(declared);
  if (Object.values(pools).every(({ groups: own }) => own.flat().length === 0)) return pools;
  const devices = await cudaDevices();
  const taken = new Set<string>();
  const uuidOf = (name: string, device: string): string => {
    const found = devices.find(({ index, uuid }) => uuid === device || `${index}` === device);
    if (!found)
      throw new BackspinError('ConfigError', `The pool ${name} names the CUDA device ${device}, and this host has ${listed(devices)}.`);
    if (taken.has(found.uuid))
      throw new BackspinError(
        'ConfigError',
        `The pool ${name} names the CUDA device ${device}, which is in another group already: a device is in one group of one pool.`,
      );
    taken.add(found.uuid);
    return found.uuid;
  };
  const placing = Object.entries(pools).map(([name, own]) => {
    const uuids = own.groups.map((group) => group.map((device) => uuidOf(name, device)));
    return [name, { ...own, groups: uuids }] as const;
  });
  return Object.fromEntries(placing);
}

/** Replaces `auto` by the devices of this host. */
async function found(pools: Pools): Promise<Pools> {
  if (!Object.values(pools).some(({ groups: [group] }) => group?.[0] === AUTO)) return pools;
  const shown = process.env['CUDA_VISIBLE_DEVICES']?.split(',');
  const devices = (await cudaDevices()).filter(({ index, uuid }) => shown?.some((one) => one === `${index}` || one === uuid) ?? true);
  if (devices.length === 0)
    throw new BackspinError(
      'ConfigError',
      'A pool is `auto`, and this host has no CUDA device: write a number of groups that compute on the CPU.',
    );
  const all = devices.map(({ uuid }) => [uuid]);
  return Object.fromEntries(
    Object.entries(pools).map(([name, own]) => [name, own.groups[0]?.[0] === AUTO ? { ...own, groups: all } : own]),
  );
}

/** What each pool computes on, for step keys: `cpu`, or `cuda` with the compute capabilities of its devices. */
export async function devicesOf(pools: Pools): Promise<Readonly<Record<string, string>>> {
  const owned = Object.entries(pools).map(([name, { groups: own }]) => [name, own.flat()] as const);
  const capabilities = owned.some(([, devices]) => devices.length > 0) ? await cudaCapabilities() : new Map<string, string>();
  return Object.fromEntries(
    owned.map(([name, devices]) => {
      const found = [...new Set(devices.flatMap((device) => capabilities.get(device) ?? []))].sort();
      return [name, devices.length === 0 ? 'cpu' : ['cuda', ...found].join(' ')];
    }),
  );
}

/** Bytes of memory of each device of each group. */
export async function memoryOf(pools: Pools): Promise<Readonly<Record<string, number[][]>>> {
  const owned = Object.entries(pools);
  const devices = owned.some(([, { groups: own }]) => own.flat().length > 0) ? await cudaDevices() : [];
  const totals = new Map(devices.map(({ uuid, total }) => [uuid, total * 2 ** 20]));
  return Object.fromEntries(owned.map(([name, { groups: own }]) => [name, own.map((group) => group.map((uuid) => totals.get(uuid)!))]));
}

const listed = (devices: readonly Device[]): string =>
  devices.length === 0 ? 'none' : devices.map(({ index, uuid }) => `${index} (${uuid})`).join(', ');
