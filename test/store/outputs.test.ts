import fs from 'node:fs';
import { readdir, readFile, stat, truncate } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import test from 'ava';
import type { Output } from '../../schemas/store.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { makeFolder, writeLines } from '../../store/files.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { onStores } from '../support/drivers.ts';
import { child, experiment, folder, newStore, output, put, read, records } from '../support/store.ts';

const onBoth = onStores();

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

onBoth('an output whose result was lost makes way for one that is whole', async (t, { newStore }) => {
  const store = await newStore();
  const [lost, made] = [await put(store, records(1)), await put(store, records(2))];
  await store.putOutput(output('step', lost));
  t.deepEqual((await store.putOutput(output('step', made))).result, lost);
  await store.blobs.remove(store.blobs.paths.dataset(lost.digest));
  t.deepEqual((await store.putOutput(output('step', made))).result, made);
  t.deepEqual((await store.output(sha256('step')))?.result, made);
});

onBoth(
  'two that find a lost result take the same one for it, and neither removes what the other has just put',
  async (t, { newStore, again }) => {
    const first = await newStore();
    const second = await again(first);
    const [lost, one, other] = await Promise.all([1, 2, 3].map((n) => put(first, records(n))));
    await first.putOutput(output('step', lost!));
    await first.blobs.remove(first.blobs.paths.dataset(lost!.digest));
    // the second finds the result lost, and does nothing about it before the first has put another
    const gate = Promise.withResolvers<void>();
    const seen = Promise.withResolvers<void>();
    const has = second.has.bind(second);
    second.has = async (result) => {
      const found = await has(result);
      seen.resolve();
      await gate.promise;
      return found;
    };
    const late = second.putOutput(output('step', other!));
    await seen.promise;
    const early = await first.putOutput(output('step', one!));
    gate.resolve();
    t.deepEqual([early.result, (await late).result, (await first.output(sha256('step')))?.result], [one, one, one]);
    await first.blobs.remove(first.blobs.paths.dataset(one!.digest));
    t.deepEqual((await first.putOutput(output('step', other!))).result, other!, 'another loss is another');
  },
);

test('a new folder is on the disk with every folder that was made for it', async (t) => {
  const root = folder();
  const opened: string[] = [];
  const { open } = fs.promises;
  fs.promises.open = (path, ...more) => {
    opened.push(String(path));
    return open(path, ...more);
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    fs.promises.open = open;
    syncBuiltinESMExports();
  });
  await makeFolder(join(root, 'a/b/c'));
  t.deepEqual(opened.filter((path) => path.startsWith(root)).toSorted(), [root, join(root, 'a'), join(root, 'a/b')]);
});

test('two that write one file at once leave the whole of one of them, and nothing else', async (t) => {
  const path = join(folder(), 'rows.jsonl');
  const lines = (text: string) =>
    async function* () {
      for (let n = 0; n < 2000; n++) yield { text };
    };
  await Promise.all(['a', 'bb'].map((text) => writeLines(path, lines(text)())));
  const texts = new Set((await readFile(path, 'utf8')).trimEnd().split('\n'));
  t.is(texts.size, 1);
  t.deepEqual(await readdir(join(path, '..')), ['rows.jsonl']);
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

onBoth('of an experiment the newest record counts', async (t, { newStore }) => {
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

onBoth('a store keeps its id, and two stores have two', async (t, { newStore, again }) => {
  const store = await newStore();
  const ids = [store.id, (await again(store)).id];
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
