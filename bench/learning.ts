/** Runs an experiment file of the text world with other data and other arithmetic: its result must depend on neither. Keeps finished
 *  runs in `.backspin/bench`, so that an interrupted bench continues while the world's files stay the same. */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { homeFor, sources, type Row } from './support.ts';

interface Arithmetic {
  readonly env?: Readonly<Record<string, string>>;
  readonly settings?: readonly string[];
}
const avx2 = { ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2', MKL_ENABLE_INSTRUCTIONS: 'AVX2' };
const settings = ['--set', 'training.threads=1'];
/** Kinds of arithmetic that round differently, the most restricted processor first. */
const arithmetics = {
  avx2: { env: avx2 },
  default: {},
  'no vectors in PyTorch': { env: { ATEN_CPU_CAPABILITY: 'default' } },
  'one thread': { settings },
  'avx2, one thread': { env: avx2, settings },
} satisfies Record<string, Arithmetic>;
export type Kind = keyof typeof arithmetics;

/** A finished experiment. */
export interface Learnt {
  readonly arithmetic: Kind;
  readonly seed: number;
  readonly sources: string;
  readonly seconds: number;
  readonly metrics: readonly Row[];
}
const world = resolve(import.meta.dirname, '../examples/textworld');

/** Runs `recipe`.yaml on each seed with each kind of arithmetic, each in a home of its own; calls `told` after each. If all run with one
 *  thread, as many run at once as there are cores. */
export async function learnt(
  recipe: string,
  seeds: readonly number[],
  by: readonly Kind[],
  told: (one: Learnt) => void,
): Promise<Learnt[]> {
  const folder = resolve(import.meta.dirname, '../.backspin/bench');
  await mkdir(folder, { recursive: true });
  const log = join(folder, `${recipe}-${await digest(recipe)}.jsonl`);
  const done = (await readFile(log, 'utf8').catch(() => '')).split('\n').flatMap((line) => (line ? [JSON.parse(line) as Learnt] : []));
  const left = by.flatMap((arithmetic) => seeds.map((seed) => ({ arithmetic, seed })));
  const all: Learnt[] = [];
  const work = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const { arithmetic, seed } = next;
      const before = done.find((one) => one.seed === seed && one.arithmetic === arithmetic);
      const one = before ?? (await carriedOut(recipe, seed, arithmetic));
      if (!before) await appendFile(log, `${JSON.stringify(one)}\n`);
      if (!before) told(one);
      all.push(one);
    }
  };
  const atOnce = by.every((kind) => kind.endsWith('one thread')) ? availableParallelism() : 1;
  await Promise.all(Array.from({ length: atOnce }, work));
  return all.toSorted((a, b) => by.indexOf(a.arithmetic) - by.indexOf(b.arithmetic) || a.seed - b.seed);
}

async function carriedOut(recipe: string, seed: number, arithmetic: Kind): Promise<Learnt> {
  const { env, settings = [] }: Arithmetic = arithmetics[arithmetic];
  const file = join(world, `${recipe}.yaml`);
  const parts = parse(await readFile(file, 'utf8')) as Parts;
  const home = await homeFor(recipe, env);
  try {
    const began = performance.now();
    await home.run('launch', file, '--name', 'bench', ...settings, ...seeded(parts, seed), '--watch');
    const seconds = Math.round((performance.now() - began) / 1000);
    const { metrics } = await home.status('bench');
    return { arithmetic, seed, sources: sources(), seconds, metrics };
  } finally {
    await home.down();
  }
}

interface Parts {
  readonly data: Readonly<Record<string, { readonly params?: { readonly seed?: number } }>>;
  readonly evaluation: Parts['data'];
}
/** Settings for another choice of things, corpus and tests, and other samples and trainings. */
function seeded({ data, evaluation }: Parts, seed: number): string[] {
  const paths = Object.entries({ data, evaluation }).flatMap(([part, of]) =>
    Object.keys(of).flatMap((name) => (of[name]!.params?.seed === undefined ? [] : `${part}.${name}.params.seed`)),
  );
  return ['seed', ...paths].flatMap((path) => ['--set', `${path}=${seed}`]);
}

/** The digest of the experiment file and the world's modules. */
async function digest(recipe: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(world)).toSorted())
    if (name === `${recipe}.yaml` || name.endsWith('.ts')) hash.update(`${name}\0`).update(await readFile(join(world, name)));
  return hash.digest('hex').slice(0, 12);
}
