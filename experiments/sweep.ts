/** Loads the sweep of an experiment file: the experiments that its combinations make. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { sweepSpec, type SweepRecord, type SweepSpec } from '../schemas/sweep.ts';
import { Source } from '../schemas/yaml.ts';
import { loadExperiment, type Experiment } from './config.ts';

type Values = SweepRecord['members'][number]['values'];

export interface Sweep {
  readonly name: string;
  readonly members: readonly { readonly experiment: Experiment; readonly values: Values; readonly seed: number }[];
}

/** Most experiments of a sweep: its workflow is started with the settings of all. */
const MAX_MEMBERS = 200;

/** Undefined if the file has no sweep. Throws a `ConfigError` with every mistake of the sweep, or of the first experiment that has some. */
export async function loadSweep(file: string, sets: readonly string[] = [], named?: string): Promise<Sweep | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  const source = text === undefined ? undefined : new Source(file, text, sets);
  const written = source?.value as { sweep?: unknown; seed?: number; name?: string } | undefined;
  if (!source || written?.sweep === undefined) return undefined;
  const spec = source.check<SweepSpec>(sweepSpec, written.sweep, ['sweep']);
  if (spec) checkSpec(source, spec);
  source.throwIfAny();
  const name = named ?? written.name ?? basename(file).replace(/\.ya?ml$/, '');
  const members: Sweep['members'][number][] = [];
  const names = new Map<string, string>();
  for (const { values, seed } of combinations(spec!)) {
    const member = memberName(name, values, seed, names);
    const own = Object.entries(values).map(([path, value]) => `${path}=${JSON.stringify(value)}`);
    const seeded = seed === null ? [] : [`seed=${(written.seed ?? 0) + seed}`];
    const experiment = await loadExperiment(file, [...sets, ...own, ...seeded], member);
    members.push({ experiment, values, seed: experiment.bound.seed });
  }
  return { name, members };
}

function checkSpec(source: Source, { grid = {}, pairs = [], seeds }: SweepSpec): void {
  const count = Object.values(grid).reduce((product, values) => product * values.length, Math.max(1, pairs.length) * (seeds ?? 1));
  if (Object.keys(grid).length === 0 && pairs.length === 0 && seeds === undefined)
    source.problem(['sweep'], 'sets nothing; name values under `grid` or `pairs`, or a number of `seeds`');
  if (count > MAX_MEMBERS) source.problem(['sweep'], `makes ${count} experiments; it may make ${MAX_MEMBERS}`);
  for (const [index, pair] of pairs.entries())
    for (const path of Object.keys(pair))
      if (path in grid) source.problem(['sweep', 'pairs', index, path], 'is in `grid` too; keep one', 'key');
  for (const [part, settings] of [['grid', grid] as const, ...pairs.map((pair, index) => [`pairs.${index}`, pair] as const)])
    for (const path of Object.keys(settings)) {
      const at = ['sweep', ...part.split('.').map((key) => (/^\d+$/.test(key) ? Number(key) : key)), path];
      if (path === 'name' || path.startsWith('sweep')) source.problem(at, 'cannot be swept', 'key');
      if (path === 'seed' && seeds !== undefined) source.problem(at, 'stands beside `seeds`; keep one', 'key');
    }
}

/** Every combination; `seed` counts from 0, or is null without `seeds`. */
function combinations({ grid = {}, pairs = [{}], seeds }: SweepSpec): { readonly values: Values; readonly seed: number | null }[] {
  const grown = Object.entries(grid).reduce<Values[]>(
    (all, [path, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [path]: value }))),
    pairs,
  );
  const counts = seeds === undefined ? [null] : Array.from({ length: seeds }, (_, seed) => seed);
  return grown.flatMap((values) => counts.map((seed) => ({ values, seed })));
}

/** `humpback-threshold-4-5-seed-1`: the same whatever else the sweep has, unless the names of two look alike. Throws if two are alike.
 *  `taken`: names and what they stand for. */
function memberName(sweep: string, values: Values, seed: number | null, taken: Map<string, string>): string {
  const slug = (text: string) =>
    text
      .replaceAll(/([a-z])([A-Z])/g, '$1-$2')
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '');
  const parts = Object.entries(values).flatMap(([path, value]) => {
    const short = slug(typeof value === 'object' ? '' : String(value));
    return [slug(path.split('.').at(-1)!), short === '' || short.length > 24 ? sha256(canonicalJson(value)).slice(0, 6) : short];
  });
  const name = [sweep, ...parts, ...(seed === null ? [] : ['seed', seed])].join('-');
  const same = canonicalJson([values, seed]);
  if ([...taken.values()].includes(same))
    throw new BackspinError('ConfigError', `The sweep makes the experiment ${name} twice: take one of its equal values out.`);
  const free = taken.has(name) ? `${name}-${sha256(same).slice(0, 6)}` : name;
  taken.set(free, same);
  return free;
}
