/** MuSC through everything, by the command a user types; and its batch and its trainings, killed. */
import test from 'ava';
import { join } from 'node:path';
import type { Scored, WeightedPair } from '../../operators/musc/records.ts';
import { Completed } from '../support/again.ts';

const musc = new Completed(test, join(import.meta.dirname, '../support/musc.yaml'), 'musc-miniature');

test.serial('every answer is measured token by token, under its own instruction and under the other, by no server', async (t) => {
  const { in: of, kept, requests, seconds } = musc.step('r1/measureConfidence');
  t.true(seconds! > 1, 'the time of its child counts');
  t.deepEqual([of, kept, requests], [musc.step('r1/respond').kept, of, 0]);
  for (const { confidence } of await musc.records<Scored>('r1/measureConfidence'))
    for (const { ids, own, other, ownEntropy, otherEntropy, kl, reverseKl, none, hash } of Object.values(confidence)) {
      for (const each of [own, other, ownEntropy, otherEntropy, kl, reverseKl]) t.is(each.length, ids.length);
      t.true([...own, ...other].every((logprob) => logprob <= 0));
      t.true([...ownEntropy, ...otherEntropy, ...kl, ...reverseKl].every((nats) => nats >= 0));
      t.is(ids.at(-1), 1, 'the end token');
      t.is(none, null);
      t.regex(hash, /^[0-9a-f]{64}$/);
    }
  for (const { chosen, rejected } of await musc.records<WeightedPair>('r1/weigh'))
    for (const { ids, weights } of [chosen, rejected]) t.is(weights.length, ids.length);
});

for (const [path, name] of [
  ['r1/measureConfidence', 'batch'],
  ['r1/policy', 'training'],
  ['r1/plain/policy', 'plain'],
] as const)
  test.serial(`${path}, killed, is done again by another child, to the same bytes`, (t) => musc.redone(t, path, name));
