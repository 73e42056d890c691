import test from 'ava';
import { resolve } from 'node:path';
import { moduleDigest } from '../../operators/registry.ts';
import type { Call, DatasetRef } from '../../recipe/call.ts';
import { bench } from '../support/memory.ts';

const toy = resolve(import.meta.dirname, '../support/toy.ts');
const call = (verb: Call['verb'], what: string, inputs: object): Call => ({
  verb,
  what,
  path: what,
  label: what,
  arm: null,
  round: null,
  inputs: { ...inputs },
});

test('a limit that is not carried out is refused, never ignored', async (t) => {
  const on = await bench({ reply: () => '' }, { modules: [{ path: toy, digest: await moduleDigest(toy) }] });
  const over = (await on.perform(call('reduce', 'source:toy.numbers', { params: { count: 3 }, folder: '/' }))) as DatasetRef;
  await t.throwsAsync(on.perform(call('map', 'toy.double', { over, quorum: 0.9 })), {
    message: /asks for a quorum, which this release does not carry out/,
  });
  await t.throwsAsync(on.perform(call('map', 'toy.double', { over, budget: { tokens: 9 } })), { message: /asks for a budget/ });
  t.is(((await on.perform(call('map', 'toy.double', { over }))) as DatasetRef).rows, 3);
});
