/** Cycle-Instruct through everything, by the command a user types; and the step that embeds, killed. */
import test from 'ava';
import { join } from 'node:path';
import type { Placed } from '../../operators/cycle-instruct/records.ts';
import { Completed } from '../support/again.ts';

const cycle = new Completed(test, join(import.meta.dirname, '../support/cycle-instruct.yaml'), 'cycle-miniature');

test.serial('every pair is placed, and of each cluster those that lie farthest are pruned', async (t) => {
  t.is(cycle.step('cluster-pairs').kept, cycle.step('cycled').kept);
  const placed = await cycle.records<Placed>('cluster-pairs');
  t.true(placed.every((value) => value.cluster === 0 && value.distance >= 0 && value.distance <= 2));
  t.true(
    placed.every((value) => value.distance < 1e-5 === (value.found === value.again)),
    'what comes back as it was lies where it was',
  );
  t.is(cycle.step('prune-pairs').dropped['inconsistent'], Math.floor(0.1 * placed.length + 0.5));
});

test.serial('an embedding that is killed is done again, by another child, to the same bytes', (t) =>
  cycle.redone(t, 'cluster-pairs', 'again'),
);
