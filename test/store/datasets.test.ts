import { readFile, readdir, writeFile, copyFile, rename, rm, truncate } from 'node:fs/promises';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { canonicalJson } from '../../schemas/canonical.ts';
import { ShardWriter } from '../../store/datasets.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { onStores } from '../support/drivers.ts';
import { child, fill, folder, kill, newStore, put, read, record, records } from '../support/store.ts';

const onBoth = onStores();

onBoth('a dataset is known by schema and records, however they are sharded', async (t, { newStore }) => {
  const rows = records(100);
  const digests = new Set<string>();
  for (const limits of [
    { rows: 1, bytes: 1e9 },
    { rows: 7, bytes: 1e9 },
    { rows: 1e9, bytes: 100 },
    { rows: 1e9, bytes: 1e9 },
  ]) {
    const store = await newStore();
    const ref = await fill(new ShardWriter(store.blobs, 'test@1', limits), rows);
    digests.add(ref.digest);
    t.deepEqual(await read(store, ref), rows);
    t.deepEqual(await read(store, ref, { from: 13, to: 31 }), rows.slice(13, 31));
  }
  t.is(digests.size, 1);
  const store = await newStore();
  t.false(digests.has((await fill(store.write('other@1'), rows)).digest), 'the schema is part of it');
  t.false(digests.has((await put(store, rows.toReversed())).digest), 'so is the order');
});

test('a shard has at most 10,000 records, or 32 MiB', async (t) => {
  const store = await newStore();
  const many = await store.dataset(await put(store, records(20_001)));
  t.deepEqual(
    many.shards.map(({ rows }) => rows),
    [10_000, 10_000, 1],
  );
  const large = await store.dataset(await put(store, records(3, 'x'.repeat(12 * 2 ** 20))));
  t.deepEqual(
    large.shards.map(({ rows }) => rows),
    [2, 1],
  );
});

test('parts of a shard are read from disk once, and anew when that failed', async (t) => {
  const store = await newStore();
  const rows = records(100);
  const ref = await put(store, rows);
  const [shard] = (await store.dataset(ref)).shards;
  const path = pathsOf(store.root).blob(shard!.digest);
  await rename(path, `${path}.away`);
  await t.throwsAsync(read(store, ref, { from: 0, to: 10 }), { message: /is not there/ });
  await rename(`${path}.away`, path);
  t.deepEqual(await read(store, ref, { from: 0, to: 10 }), rows.slice(0, 10));
  await rm(path);
  t.deepEqual(await read(store, ref, { from: 50, to: 60 }), rows.slice(50, 60));
});

onBoth('an empty dataset is one', async (t, { newStore }) => {
  const store = await newStore();
  const ref = await put(store, []);
  t.deepEqual([ref.rows, await read(store, ref), await store.has(ref)], [0, [], true]);
});

test('equal values give equal bytes, whatever the order of their keys', (t) => {
  t.is(canonicalJson({ b: [1, { d: 1, c: null }], a: 'x', gone: undefined }), canonicalJson({ a: 'x', b: [1, { c: null, d: 1 }] }));
  t.throws(() => canonicalJson({ score: Number.NaN }), { message: /NaN/ });
});

test('what is no plain JSON is refused, with where it is, and loses nothing without a word', (t) => {
  class Point {
    readonly x = 1;
  }
  const loop: Record<string, unknown> = {};
  loop['loop'] = loop;
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [new Date(0), /^A Date cannot be stored as JSON: give .* \(of a date its ISO form\)/],
    [new Map([[1, 2]]), /^A Map cannot/],
    [new Set([1]), /^A Set cannot/],
    [new Point(), /^A Point cannot/],
    [new Uint8Array(2), /^A Uint8Array cannot/],
    [Number.NaN, /^NaN cannot/],
    [-Infinity, /^-Infinity cannot/],
    [1n, /^A bigint cannot/],
    [Symbol('s'), /^A symbol cannot/],
    [() => 1, /^A function cannot/],
    [[1, undefined], /^undefined at 1 cannot/],
    // eslint-disable-next-line no-sparse-arrays
    [[, 1], /^undefined at 0 cannot/],
    [{ a: { b: [{}, { 'c.d': new Date(0) }] } }, /^A Date at a\.b\.1\.c\.d cannot/],
    [loop, /^What is nested so deep, or holds itself, cannot/],
  ];
  for (const [value, message] of cases) {
    t.throws(() => canonicalJson(value), { name: 'SchemaError', message }, message.source);
    if (!Array.isArray(value)) t.throws(() => canonicalJson({ in: [value] }), { name: 'SchemaError' });
  }
  const bare = Object.assign(Object.create(null) as object, { b: 1, a: runInNewContext('({ c: [null] })') as object });
  t.is(canonicalJson(bare), '{"a":{"c":[null]},"b":1}', 'plain objects of any making');
});

onBoth('line separators and lone surrogates survive a store', async (t, { newStore }) => {
  const store = await newStore();
  const texts = ['a\u2028b\u2029c\u0085d\r\n\u0000', 'cut \ud83d', '\ude00 cut', 'whole \ud83d\ude00'];
  const ref = await put(
    store,
    texts.map((text) => record({ text })),
  );
  const back = (await read(store, ref)).map(({ value }) => (value as { text: string }).text);
  t.deepEqual(
    back,
    texts.map((text) => text.toWellFormed()),
  );
});

test('heads are the records without their values, whatever ids and values hold', async (t) => {
  const store = await newStore();
  const texts = ['plain', ',"value":{"id":"x"}', '"\\",\n\u2028', '\u00e4,"value":'];
  const rows = texts.map((text) => ({ id: text, from: [text, `${text}2`], value: { id: text, value: text } }));
  const ref = await put(store, rows);
  const heads = [];
  for await (const head of store.heads(ref)) heads.push(head);
  t.deepEqual(
    heads,
    rows.map(({ id, from }) => ({ id, from })),
  );
});

/** What may happen to the second of three shards; `third` is the path of another. */
const harms: Record<string, (path: string, third: string) => Promise<void>> = {
  'with a changed byte': async (path) => {
    const bytes = await readFile(path);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(path, bytes);
  },
  'cut short': async (path) => truncate(path, (await readFile(path)).length - 9),
  'that is empty': (path) => truncate(path, 0),
  'swapped for another': (path, third) => copyFile(third, path),
  'packed as several frames': async (path) => {
    const bytes = zstdDecompressSync(await readFile(path));
    await writeFile(path, Buffer.concat([zstdCompressSync(bytes.subarray(0, 50)), zstdCompressSync(bytes.subarray(50))]));
  },
  'with a record more': async (path) =>
    writeFile(path, zstdCompressSync(Buffer.concat([zstdDecompressSync(await readFile(path)), Buffer.from('{}\n')]))),
};
for (const [how, harm] of Object.entries(harms)) {
  test(`a shard ${how} is named and never read`, async (t) => {
    const store = await newStore();
    const paths = pathsOf(store.root);
    const rows = records(30);
    const ref = await fill(new ShardWriter(store.blobs, 'test@1', { rows: 10, bytes: 1e9 }), rows);
    const [, second, third] = (await store.dataset(ref)).shards.map(({ digest }) => paths.blob(digest));
    await harm(second!, third!);
    const given: unknown[] = [];
    const error = await t.throwsAsync(
      async () => {
        for await (const row of store.read(ref)) given.push(row);
      },
      { name: 'ArtifactDamaged' },
    );
    t.true(error.message.includes(second!));
    t.deepEqual(given, rows.slice(0, 10));
    t.deepEqual(await read(store, ref, { from: 0, to: 10 }), rows.slice(0, 10), 'other shards can be read');

    await rm(second!); // what the message says to do
    t.false(await store.has(ref));
    await t.throwsAsync(read(store, ref), { name: 'ArtifactMissing' });
    await fill(new ShardWriter(store.blobs, 'test@1', { rows: 10, bytes: 1e9 }), rows);
    t.deepEqual(await read(store, ref), rows, 'made again, it is whole');
  });
}

test('a manifest that lists its shards in another order is found out', async (t) => {
  const store = await newStore();
  const paths = pathsOf(store.root);
  const ref = await fill(new ShardWriter(store.blobs, 'test@1', { rows: 10, bytes: 1e9 }), records(20));
  const manifest = await store.dataset(ref);
  await writeFile(paths.dataset(ref.digest), JSON.stringify({ ...manifest, shards: manifest.shards.toReversed() }));
  await t.throwsAsync(read(store, ref), { name: 'ArtifactDamaged', message: new RegExp(ref.digest) });
});

test('a manifest cut short is named', async (t) => {
  const store = await newStore();
  const ref = await put(store, records(2));
  await truncate(pathsOf(store.root).dataset(ref.digest), 40);
  await t.throwsAsync(read(store, ref), { name: 'ArtifactDamaged', message: new RegExp(ref.digest) });
});

const points = {
  'as a shard gets its name': ['stop', 'rename', 'blobs'],
  'as the manifest gets its name': ['stop', 'link', 'datasets'],
  'with a commit to come': ['uncommitted'],
} as const;
for (const [when, [what, ...args]] of Object.entries(points)) {
  test(`a writer killed ${when} leaves nothing that can be seen, and the next one succeeds`, async (t) => {
    const root = folder();
    const writer = child(what, root, ...args);
    t.is(await writer.line(), 'there');
    await kill(writer);
    const store = await openStore(root);
    t.deepEqual(await readdir(pathsOf(root).folders.datasets), []);
    const rows = records(what === 'uncommitted' ? 25_000 : 100);
    const ref = await put(store, rows);
    t.deepEqual(await read(store, ref), rows);
  });
}

test('a full disk is a DiskFull, to be tried again, and leaves nothing behind', async (t) => {
  const root = folder();
  const { type, retryable, message } = JSON.parse(await child('full', root).line()) as {
    type: string;
    retryable: boolean;
    message: string;
  };
  t.deepEqual([type, retryable], ['DiskFull', true]);
  t.regex(message, /datasets/);
  t.deepEqual(await readdir(pathsOf(root).temporary), []);
});

test('200,000 records pass through in under 250 MB', async (t) => {
  const { rows, megabytes } = JSON.parse(await child('many', folder(), '200000').line()) as { rows: number; megabytes: number };
  t.is(rows, 200_000);
  t.true(megabytes < 250, `${megabytes} MB`);
});
