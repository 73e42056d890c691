import { readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Output } from '../../schemas/store.ts';
import { sha256 } from '../../store/canonical.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { child, experiment, folder, newStore, output, put, read, records } from '../support/store.ts';

test('of two processes that put the same output one wins, and both go on with its', async (t) => {
  const root = folder();
  const store = await openStore(root);
  const refs = [await put(store, records(1)), await put(store, records(2))];
  const children = [child('outputs', root), child('outputs', root)];
  for (const one of children) t.is(await one.line(), 'ready');
  const winners = new Set<number>();
  for (let n = 0; n < 40; n++) {
    children.forEach((one, i) => one.say(JSON.stringify(output(`step ${n}`, refs[i]!))));
    const [a, b] = await Promise.all(children.map(async (one) => JSON.parse(await one.line()) as Output));
    t.deepEqual(a, b);
    t.deepEqual(await store.output(sha256(`step ${n}`)), a);
    winners.add(refs.findIndex((ref) => JSON.stringify(ref) === JSON.stringify(a!.result)));
  }
  t.false(winners.has(-1));
  for (const one of children) one.process.kill();
});

test('an output whose result was lost makes way for one that is whole', async (t) => {
  const store = await newStore();
  const [lost, made] = [await put(store, records(1)), await put(store, records(2))];
  await store.putOutput(output('step', lost));
  t.deepEqual((await store.putOutput(output('step', made))).result, lost);
  await rm(pathsOf(store.root).dataset(lost.digest));
  t.deepEqual((await store.putOutput(output('step', made))).result, made);
  t.deepEqual((await store.output(sha256('step')))?.result, made);
});

test('an output that is not there is undefined, and a damaged one is named', async (t) => {
  const store = await newStore();
  t.is(await store.output(sha256('none')), undefined);
  await store.putOutput(output('step', { kind: 'report', digest: sha256('r'), metrics: { a: 1 }, oracle: false }));
  const path = pathsOf(store.root).output(sha256('step'));
  await truncate(path, 30);
  const error = await t.throwsAsync(store.output(sha256('step')), { name: 'ArtifactDamaged' });
  t.true(error.message.includes(path));
});

test('of an experiment the newest record counts', async (t) => {
  const store = await newStore();
  await store.putExperiment(experiment('b', { state: 'running' }));
  await store.putExperiment(experiment('a'));
  await store.putExperiment(experiment('b', { state: 'completed', round: 2 }));
  t.deepEqual(
    (await store.experiments()).map(({ name, state }) => `${name} ${state}`),
    ['a completed', 'b completed'],
  );
  t.is((await store.experiment('b'))?.round, 2);
  t.is(await store.experiment('c'), undefined);
  t.is(await store.experiment('../id'), undefined, 'no name leads out of its folder');
});

test('a store keeps its id, and two stores have two', async (t) => {
  const root = folder();
  const ids = (await Promise.all([openStore(root), openStore(root)])).map(({ id }) => id);
  t.is(ids[0], ids[1]);
  t.regex(ids[0]!, /^[0-9a-f]{8}$/);
  t.not((await newStore()).id, ids[0]);
});

test('no temporary file is left, and free space is told', async (t) => {
  const store = await newStore();
  await read(store, await put(store, records(100)));
  await store.putExperiment(experiment('a'));
  t.deepEqual(await readdir(pathsOf(store.root).temporary), []);
  t.true((await store.free()) > 0);
  await store.clearWork(sha256('never begun'));
  await t.throwsAsync(stat(join(store.work(sha256('never begun')))), { code: 'ENOENT' });
});
