/** Corrupts instructions: deletes or replaces some constraints, never the first, which is the task. */
import { z } from 'zod';
import { drop, keep, operator, type RecordContext } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { noise, type Noise } from '../../schemas/recipes/musc.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { parseNewConstraint } from './parse.ts';
import { noised, sameText, taken, type Taken } from './records.ts';
import { drawSample } from './shots.ts';

type Kind = 'delete' | 'substitute' | 'negate';

/** Returns how many of `count` constraints to corrupt: the share, rounded half to even, and at least one. */
export function touchedOf(count: number, ratio: number): number {
  const share = ratio * count;
  const below = Math.floor(share);
  const rest = share - below;
  const half = Math.abs(rest - 0.5) < 1e-9; // .3 x 5 is 1.5
  return Math.max(1, half ? below + (below % 2) : Math.round(share));
}

/** Draws the constraints to corrupt, by index, and how. */
function drawNoise({ constraints }: Taken, { ratio, kinds }: Noise, random: () => number): Map<number, Kind> {
  const indices = Array.from({ length: constraints.length - 1 }, (_, n) => n + 1);
  const total = kinds.delete + kinds.substitute + kinds.negate;
  const kindOf = (lot: number): Kind => (lot < kinds.delete ? 'delete' : lot < kinds.delete + kinds.substitute ? 'substitute' : 'negate');
  const touched = drawSample(indices, touchedOf(constraints.length, ratio), random);
  return new Map(touched.map((index) => [index, kindOf(random() * total)]));
}

const applyNoise = (record: Taken, touched: ReadonlyMap<number, unknown>, replacements: ReadonlyMap<number, string>) => ({
  ...record,
  corrupted: record.constraints.flatMap((constraint, n) => (touched.has(n) ? (replacements.get(n) ?? []) : constraint)),
  touched: record.constraints.filter((_, n) => touched.has(n)),
});
const noiseOf = (record: Taken, context: RecordContext, noise: Noise) => drawNoise(record, noise, context.random('noise'));

/** Deletes constraints. */
export const corrupt = operator({
  version: 1,
  input: taken,
  output: noised,
  params: z.object({ noise }),
  stochastic: () => true,
  run: (record, context, { noise }) => keep(applyNoise(record, noiseOf(record, context, noise), new Map())),
});

/** Deletes constraints, or has the model substitute or negate them. */
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
    const replies = await Promise.all(
      rewritten.map(({ kind, constraint }) => wholeReply(context, 'self', context.prompt(prompts[kind], { constraint }), rewriting)),
    );
    const replacements = new Map<number, string>();
    for (const [at, { n, constraint }] of rewritten.entries()) {
      const one = replies[at]!;
      if ('dropped' in one) return one;
      const other = parseNewConstraint(one.text);
      if (other === undefined) return drop('no-new-constraint', one.text);
      if (sameText(other, constraint)) return drop('same', one.text);
      replacements.set(n, other);
    }
    return keep(applyNoise(record, touched, replacements));
  },
});
