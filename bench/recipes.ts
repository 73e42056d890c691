/** `main`, `cycle-instruct`, `musc`, `crab`, `tegit`, `air`: measure what these recipes learn on the text world, on three data seeds by two
 *  kinds of arithmetic, next to the control arms of their files. */
import { learnt, type Kind, type Learnt } from './learning.ts';
import { rounded, type Result, type Row } from './support.ts';

const SEEDS = [0, 1, 2];
const KINDS: readonly Kind[] = ['avx2', 'default'];
const ONE_THREAD: readonly Kind[] = ['avx2, one thread', 'one thread'];

interface Measured {
  at(round: number, name: string, arm?: string): number;
}

async function measured(recipe: string, kinds = KINDS): Promise<{ all: Measured[]; rows: object[] }> {
  const rowsOf = ({ metrics, ...one }: Learnt) => metrics.map((row) => ({ ...one, ...shortened(row) }));
  const done = await learnt(recipe, SEEDS, kinds, (one) => console.table(rowsOf(one)));
  const all = done.map(({ metrics }) => {
    const of = (round: number, arm?: string) => metrics.find((one) => one.round === round && (one.arm ?? undefined) === arm);
    return { at: (round: number, metric: string, arm?: string) => Number(of(round, arm)?.[metric] ?? NaN) };
  });
  return { all, rows: done.flatMap(rowsOf) };
}
const shortened = (row: Row) =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'number' ? rounded(value, 3) : value]));
const least = (all: readonly Measured[], of: (one: Measured) => number) => rounded(Math.min(...all.map(of)), 3);

export async function main(): Promise<Result> {
  const { all, rows } = await measured('main');
  return {
    rows,
    bounds: [
      {
        what: 'precision of the kept above the pool',
        is: least(all, (one) => one.at(0, 'evaluate-curated.keptPrecision') - one.at(0, 'evaluate-augmented.keptPrecision')),
        atLeast: 0.05,
      },
      {
        what: 'forward exact of the last model above M_0',
        is: least(all, (one) => one.at(0, 'evaluate-final.forwardExact') - one.at(0, 'evaluate-forward.forwardExact')),
        atLeast: 0,
      },
    ],
  };
}

export async function cycleInstruct(): Promise<Result> {
  const { all, rows } = await measured('cycle-instruct');
  const gain = (one: Measured, round: number, arm?: string) =>
    one.at(round, 'evaluate-forward.forwardExact', arm) - one.at(0, 'evaluate-forward.forwardExact');
  return {
    rows,
    bounds: [
      { what: 'forward exact after one round, above the base', is: least(all, (one) => gain(one, 1)), atLeast: 0.15 },
      { what: 'after two', is: least(all, (one) => gain(one, 2)), atLeast: 0.17 },
      { what: 'backward exact after two', is: least(all, (one) => one.at(2, 'backwardExact')), atLeast: 0.9 },
      {
        what: 'forward exact where what was generated is learnt, above or below the base',
        is: -least(all, (one) => -Math.abs(gain(one, 2, 'generated'))),
        atMost: 0.08,
      },
    ],
  };
}

export async function musc(): Promise<Result> {
  const { all, rows } = await measured('musc');
  const gain = (one: Measured, name: string, arm?: string) => one.at(1, name, arm) - one.at(0, name);
  return {
    rows,
    bounds: [
      { what: 'both constraints kept, above the base', is: least(all, (one) => gain(one, 'bothSampled')), atLeast: 0.12 },
      { what: 'facts right, above or below the base', is: least(all, (one) => gain(one, 'factsGreedy')), atLeast: -0.1 },
      {
        what: 'weight of the tokens of what was left out, by that of the others',
        is: least(all, (one) => one.at(1, 'weightOn') / one.at(1, 'weightElsewhere')),
        atLeast: 1.3,
      },
      {
        what: 'both constraints kept, above where both answers are to the whole instruction',
        is: least(all, (one) => gain(one, 'bothSampled') - gain(one, 'bothSampled', 'uncorrupted')),
        atLeast: 0.08,
      },
    ],
  };
}

export async function crab(): Promise<Result> {
  const { all, rows } = await measured('crab', ONE_THREAD);
  const both = (one: Measured, arm?: string) => one.at(0, 'evaluate-forward.both', arm);
  return {
    rows,
    bounds: [
      { what: 'constraints named rightly', is: least(all, (one) => one.at(0, 'namedPrecision')), atLeast: 0.95 },
      {
        what: 'both constraints kept, above where pairs are learnt as they came',
        is: least(all, (one) => both(one) - both(one, 'plain')),
        atLeast: 0.05,
      },
    ],
  };
}

export async function tegit(): Promise<Result> {
  const { all, rows } = await measured('tegit', ONE_THREAD);
  return {
    rows,
    bounds: [
      { what: 'right tasks', is: least(all, (one) => one.at(0, 'keptPrecision')), atLeast: 0.8 },
      {
        what: 'forward exact, above where whole passages are learnt',
        is: least(all, (one) => one.at(0, 'forwardExact') - one.at(0, 'forwardExact', 'text')),
        atLeast: 0.25,
      },
    ],
  };
}

export async function air(): Promise<Result> {
  const { all, rows } = await measured('air', ONE_THREAD);
  const both = (one: Measured, arm?: string) => one.at(0, 'evaluate-forward.bothSampled', arm);
  return {
    rows,
    bounds: [
      {
        what: 'both constraints kept, above the student before',
        is: least(all, (one) => both(one) - one.at(0, 'evaluate-student.bothSampled')),
        atLeast: 0.4,
      },
      {
        what: 'both constraints kept, above where bare questions are learnt',
        is: least(all, (one) => both(one) - both(one, 'initial')),
        atLeast: 0.6,
      },
      {
        what: 'facts right, above or below the student before',
        is: least(all, (one) => one.at(0, 'evaluate-forward.factsGreedy') - one.at(0, 'evaluate-student.factsGreedy')),
        atLeast: -0.1,
      },
    ],
  };
}
