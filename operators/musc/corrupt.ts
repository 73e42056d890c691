/** The noise: some of an instruction's constraints go, or become others. The first, which is the task, never does. */
import { z } from 'zod';
import { drop, keep, operator, type RecordContext } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { noise, type Noise } from '../../schemas/recipes/musc.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { newConstraintIn } from './parse.ts';
import { noised, same, taken, type Taken } from './records.ts';
import { drawn } from './shots.ts';

type Kind = 'delete' | 'substitute' | 'negate';

/** Constraints that are touched of `count`: the share, rounded to the nearest, a half to the even number; at least one. */
export function touchedOf(count: number, ratio: number): number {
  const share = ratio * count;
  const below = Math.floor(share);
  const rest = share - below;
  const half = Math.abs(rest - 0.5) < 1e-9; // .3 x 5 is 1.5
  return Math.max(1, half ? below + (below % 2) : Math.round(share));
}

/** Which constraints are touched, by index, and how. */
function lots({ constraints }: Taken, { ratio, kinds }: Noise, random: () => number): Map<number, Kind> {
  const indices = Array.from({ length: constraints.length - 1 }, (_, n) => n + 1);
  const total = kinds.delete + kinds.substitute + kinds.negate;
  const kindOf = (lot: number): Kind => (lot < kinds.delete ? 'delete' : lot < kinds.delete + kinds.substitute ? 'substitute' : 'negate');
  const touched = drawn(indices, touchedOf(constraints.length, ratio), random);
  return new Map(touched.map((index) => [index, kindOf(random() * total)]));
}

const corrupted = (record: Taken, touched: ReadonlyMap<number, unknown>, instead: ReadonlyMap<number, string>) => ({
  ...record,
  corrupted: record.constraints.flatMap((constraint, n) => (touched.has(n) ? (instead.get(n) ?? []) : constraint)),
  touched: record.constraints.filter((_, n) => touched.has(n)),
});
const noiseOf = (record: Taken, aside: RecordContext, noise: Noise) => lots(record, noise, aside.random('noise'));

/** Leaves constraints out. */
export const corrupt = operator({
  version: 1,
  input: taken,
  output: noised,
  params: z.object({ noise }),
  stochastic: () => true,
  run: (record, context, { noise }) => keep(corrupted(record, noiseOf(record, context, noise), new Map())),
});

/** Leaves constraints out, or has the model put another in their place, or the opposite. */
export const corruptBy = operator({
  version: 3,
  input: taken,
  output: noised,
  params: z.object({ noise, prompts: z.object({ substitute: registered, negate: registered }), rewriting: sampling }),
  roles: ['self'],
  capabilities: ['chat'],
  stochastic: () => true,
  calls: ({ noise: { kinds } }) => (kinds.substitute + kinds.negate > 0 ? Infinity : 0),
  async run(record, context, { noise, prompts, rewriting }) {
    const touched = noiseOf(record, context, noise);
    const rewritten = [...touched].flatMap(([n, kind]) => (kind === 'delete' ? [] : [{ kind, n, constraint: record.constraints[n]! }]));
    const said = await Promise.all(
      rewritten.map(({ kind, constraint }) => wholeReply(context, 'self', context.prompt(prompts[kind], { constraint }), rewriting)),
    );
    const instead = new Map<number, string>();
    for (const [at, { n, constraint }] of rewritten.entries()) {
      const one = said[at]!;
      if ('dropped' in one) return one;
      const other = newConstraintIn(one.text);
      if (other === undefined) return drop('no-new-constraint', one.text);
      if (same(other, constraint)) return drop('same', one.text);
      instead.set(n, other);
    }
    return keep(corrupted(record, touched, instead));
  },
});
