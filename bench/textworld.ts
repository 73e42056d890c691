/** `textworld`: measures what Humpback learns on the text world, on five data seeds by four kinds of arithmetic, and runs the control
 *  that must wait at its gate. All 20 runs must keep the promise. */
import { resolve } from 'node:path';
import { learnt, type Kind, type Learnt } from './learning.ts';
import { homeFor, rounded, type Bound, type Result } from './support.ts';

const FILE = resolve(import.meta.dirname, '../examples/textworld/humpback.yaml');
const SEEDS = [0, 1, 2, 3, 4];
const KINDS: readonly Kind[] = ['avx2', 'default', 'no vectors in PyTorch', 'one thread'];

function rowOf({ arithmetic, seed, sources, seconds, metrics }: Learnt) {
  const at = (name: string, round: number, arm: string | null = null) =>
    rounded(Number(metrics.find((one) => one.round === round && one.arm === arm)?.[name] ?? NaN), 3);
  return {
    arithmetic,
    seed,
    M_0: at('forwardExact', 0),
    backward: at('backwardExact', 0),
    M_1: at('forwardExact', 1),
    M_2: at('forwardExact', 2),
    'random, round 1': at('forwardExact', 1, 'random'),
    'random, round 2': at('forwardExact', 2, 'random'),
    'pool precision': at('keptPrecision', 0),
    'kept precision': at('keptPrecision', 2),
    'kept coverage': at('keptCoverage', 2),
    'kept adverts, round 1': at('keptAdvertShare', 1),
    'kept adverts': at('keptAdvertShare', 2),
    seconds,
    sources,
  };
}
type Figures = ReturnType<typeof rowOf>;

/** The promise for every seed and every kind of arithmetic. */
const promise: readonly { what: string; of: (row: Figures) => number; atLeast?: number; atMost?: number }[] = [
  { what: 'M_2 above M_0', of: (row) => row.M_2 - row.M_0, atLeast: 0.12 },
  { what: 'M_2 above the random arm', of: (row) => row.M_2 - row['random, round 2'], atLeast: 0.04 },
  { what: 'M_2 above or below M_1', of: (row) => row.M_2 - row.M_1, atLeast: -0.045 },
  { what: 'precision of the kept above the pool', of: (row) => row['kept precision'] - row['pool precision'], atLeast: 0.2 },
  { what: 'adverts among the kept', of: (row) => row['kept adverts'], atMost: 0.05 },
];

export async function textworld(): Promise<Result> {
  const rows = (await learnt('humpback', SEEDS, KINDS, (one) => console.log(JSON.stringify(rowOf(one))))).map(rowOf);
  const bounds = promise.map(({ what, of, ...limit }): Bound => {
    const all = rows.map(of);
    return {
      what: `${what}, worst of ${rows.length}`,
      is: rounded(limit.atMost === undefined ? Math.min(...all) : Math.max(...all), 3),
      ...limit,
    };
  });
  return { rows: [...rows, await control()], bounds };
}

/** Without the rated pairs, one training makes the model forget how to judge: the experiment must wait at its gate. */
async function control() {
  const home = await homeFor('textworld');
  const data = ['seed', 'corpus'].map((name) => `${name}: { source: textworld.${name}, params: { seed: 0 } }`);
  const exit = await home.try('launch', FILE, '--set', `data={ ${data.join(', ')} }`, '--watch');
  const waiting = (await home.status('textworld-humpback')).attention[0];
  await home.down();
  return { control: 'no rated pairs', exit, waits: waiting === undefined ? 'no' : `${waiting.path}: ${waiting.reason}` };
}
