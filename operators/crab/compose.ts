/** T0, W1, V1 and half of M1: makes training rows of both objectives from pairs with constraints (2410.24175, code). */
import { z } from 'zod';
import { reducer, type Dataset, type MaybePromise, type Rec } from '../../recipe/index.ts';
import { constraintType, type ConstraintType } from '../../schemas/recipes/crab-types.ts';
import { composition, type Composition } from '../../schemas/recipes/crab.ts';
import { drawSample } from '../musc/shots.ts';
import { forwardRow, groupsOf, weightsOf, type Group } from './forward.ts';
import type { Composed, Tidied } from './records.ts';
import { reverseRow } from './reverse.ts';

/**
 * Forward rows teach the response under the instruction with constraints, reverse rows the constraints of the response, with the weight
 * `alpha`. A pair is in one row at most, be it learnt or a demonstration: `forwardShare` of the groups become forward rows, as long as
 * their source has room, and then others reverse rows, up to `total`. Holds all pairs in memory.
 */
export const compose = reducer<
  { readonly of: MaybePromise<Dataset<Tidied>> },
  { readonly forward: Dataset<Composed>; readonly reverse: Dataset<Composed> },
  Composition & { readonly types: readonly ConstraintType[] }
>({
  version: 1,
  params: composition.extend({ types: z.array(constraintType) }),
  stochastic: () => true,
  skipsConservation: true,
  outputs: ['forward', 'reverse'],
  maxRows: (entering, { counts }) => Math.min(entering, counts.total),
  async *run({ of }, { forward, reverse, demos, counts, alpha, types }, { random, derive }) {
    const pairs: Rec<Tidied>[] = [];
    for await (const record of of) pairs.push(record);
    const weights = weightsOf(pairs);
    const groups = groupsOf(pairs, demos, (id) => random(`demos ${id}`));
    const order = drawSample(groups, groups.length, random('order'));
    const total = Math.min(counts.total, groups.length);
    const limit = Math.ceil(total * counts.forwardShare - 1e-9); // .7 x 10 is 7.000...1
    const row = ({ root, shots }: Group, value: Omit<Composed, 'pairs' | 'source'>) => {
      const members = [root, ...shots];
      return derive({ ...value, pairs: members.map(({ id }) => id), source: root.value.source }, members);
    };

    const ofSource = new Map<string, number>();
    const left: Group[] = [];
    let made = 0;
    for (const group of order) {
      const { source } = group.root.value;
      const before = ofSource.get(source) ?? 0;
      if (made === limit || before >= counts.perSource) {
        left.push(group);
        continue;
      }
      ofSource.set(source, before + 1);
      made++;
      yield { record: row(group, forwardRow(group, weights, forward, random(`forward ${group.root.id}`))), output: 'forward' };
    }
    for (const group of left) {
      if (made === total) return;
      const one = reverseRow(group, types, reverse, random(`reverse ${group.root.id}`));
      if (!one) continue;
      made++;
      yield { record: row(group, { ...one, weight: alpha, constraints: 0 }), output: 'reverse' };
    }
  },
});
