import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { globSync } from 'node:fs';
import { readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import { sha256 } from '../../schemas/canonical.ts';
import { copyStore } from '../../store/copy.ts';
import { HostCopies } from '../../store/host-copies.ts';
import { openStore } from '../../store/local.ts';
import { openStoreOf } from '../../store/open.ts';
import { s3Address } from '../../store/s3-address.ts';
import { openS3Store } from '../../store/s3-store.ts';
import { command } from '../cli/cli.ts';
import { s3Program, S3Server } from '../support/s3.ts';
import { aboutModel, experiment, folder, output, put, read, record, records } from '../support/store.ts';

const onS3 = s3Program === undefined ? test.skip : test.serial;
let server: S3Server;
test.before(async () => {
  if (s3Program !== undefined) server = await S3Server.start();
});
test.after.always(() => server?.kill());

async function model(weights: string | Buffer): Promise<string> {
  const source = folder();
  await writeFile(join(source, 'config.json'), '{}');
  await writeFile(join(source, 'model.safetensors'), weights);
  return source;
}
/** The server's file of an object. */
const objectOf = (path: string, root: string, address: string) =>
  join(server.folder, 'data', address.slice('s3://'.length), path.slice(root.length + 1));

onS3('what one host has put another one reads, and a large file comes whole, in ranges', async (t) => {
  const [one, other] = [await server.open('s3://tests/two-hosts/deep'), await server.open('s3://tests/two-hosts/deep')];
  t.is(one.id, other.id);
  const rows = records(12_000);
  const ref = await put(one, rows);
  t.true(await other.has(ref));
  t.deepEqual(await read(other, ref, { from: 9_990, to: 10_010 }), rows.slice(9_990, 10_010));
  const weights = Buffer.alloc(70 * 2 ** 20, 'weights ');
  weights.writeUInt32LE(42, 50 * 2 ** 20);
  const large = await one.putModel(await model(weights), aboutModel);
  t.true((await readFile(join(await other.modelFolder(large), 'model.safetensors'))).equals(weights));
});

onS3('of many hosts that put one output, one wins, and all go on with its', async (t) => {
  const address = server.address();
  const hosts = await Promise.all(Array.from({ length: 8 }, () => server.open(address)));
  const refs = await Promise.all(hosts.map((host, n) => put(host, records(n + 1))));
  for (let round = 0; round < 5; round++) {
    const made = await Promise.all(hosts.map((host, n) => host.putOutput(output(`step ${round}`, refs[n]!))));
    t.is(new Set(made.map((one) => JSON.stringify(one))).size, 1);
    t.deepEqual(await hosts[0]!.output(sha256(`step ${round}`)), made[0]);
  }
});

onS3('a damaged copy on a host comes anew from the store, and a damaged object is named', async (t) => {
  const address = server.address();
  const [one, other] = [await server.open(address), await server.open(address)];
  const rows = records(10);
  const ref = await put(one, rows);
  const tuned = await one.putModel(await model('weights'), aboutModel);
  t.deepEqual(await read(other, ref), rows);
  const shard = other.blobs.paths.blob((await other.dataset(ref)).shards[0]!.digest);
  await truncate(shard, 9);
  const weights = join(await other.modelFolder(tuned), 'model.safetensors');
  await writeFile(weights, 'Weights');
  const again = await openS3Store(s3Address(address), other.root);
  t.deepEqual(await read(again, ref), rows);
  t.is(await readFile(join(await again.modelFolder(tuned), 'model.safetensors'), 'utf8'), 'weights');

  for (const path of [shard, weights]) {
    const object = objectOf(path, other.root, address);
    const bytes = await readFile(object);
    bytes[3]! ^= 1;
    await writeFile(object, bytes);
  }
  const fresh = await server.open(address);
  await t.throwsAsync(read(fresh, ref), { name: 'ArtifactDamaged', message: new RegExp(`${address}/blobs/`) });
  await t.throwsAsync(fresh.modelFolder(tuned), { name: 'ArtifactDamaged', message: /model\.safetensors/ });
});

onS3('a model whose upload was cut off is not there, and the next one that brings it completes it', async (t) => {
  const address = server.address();
  const one = await server.open(address);
  const source = await model('weights');
  const ref = await one.putModel(source, aboutModel);
  await one.blobs.remove(join(one.blobs.paths.model(ref.digest), 'manifest.json'));
  await rm(one.root, { recursive: true });
  const other = await server.open(address);
  t.false(await other.has(ref));
  await t.throwsAsync(other.modelFolder(ref), { name: 'ArtifactMissing' });
  t.deepEqual(await other.putModel(source, aboutModel), ref);
  t.true(await (await server.open(address)).has(ref));
});

onS3('copies stay within their limit: the longest unused go, those in use stay, and the store keeps all', async (t) => {
  const store = await server.open();
  const refs = await Promise.all([1, 2, 3].map((n) => put(store, [record({ n, text: 'x'.repeat(1000) })])));
  const paths = await Promise.all(refs.map(async (ref) => store.blobs.paths.blob((await store.dataset(ref)).shards[0]!.digest)));
  const hours = (n: number) => new Date(Date.now() - n * 3_600_000);
  for (const [n, path] of paths.slice(0, 2).entries()) await utimes(path, hours(3 - n), hours(3 - n)); // the last one was used just now
  const kept = async () => (await Promise.all(paths.map((path) => stat(path).then(Boolean, () => false)))).map(Number);
  const { size } = await stat(paths[0]!);
  await new HostCopies(store.blobs.paths, 2.5 * size, async () => false).trim();
  t.deepEqual(await kept(), [0, 1, 1]);
  await new HostCopies(store.blobs.paths, 1, async () => false).trim();
  t.deepEqual(await kept(), [0, 0, 1]);
  t.is((await read(store, refs[0]!)).length, 1);
});

onS3('a server that is away is waited for, and what it has answered is there after its death', async (t) => {
  const store = await server.open();
  const ref = await put(store, records(3));
  await server.kill();
  const error = await t.throwsAsync(store.dataset(ref), { name: 'Down', message: /does not answer.*goes on by itself/ });
  t.true((error as { retryable?: boolean }).retryable);
  await server.resume();
  t.is((await store.dataset(ref)).rows, 3);
});

onS3('wrong credentials, a bucket that is not there and an address that is none are told with what to do', async (t) => {
  await t.throwsAsync(server.open('s3://no-such-bucket/x'), { name: 'ConfigError', message: /bucket of s3:\/\/no-such-bucket\/x/ });
  t.throws(() => s3Address('s3:/tests'), { name: 'ConfigError', message: /write s3:\/\/BUCKET\/PREFIX/ });
  process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
  await t.throwsAsync(server.open(), { name: 'ConfigError', message: /refuses access.*AWS_ACCESS_KEY_ID/ });
  Object.assign(process.env, server.env);
});

test.serial('an S3 server without conditional writes is refused', async (t) => {
  const fake = createServer((request, response) => request.resume().once('end', () => response.writeHead(200).end('<DeleteResult/>')));
  await new Promise<void>((done) => void fake.listen(0, '127.0.0.1', done));
  const before = { ...process.env };
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${(fake.address() as AddressInfo).port}`,
    AWS_ACCESS_KEY_ID: 'a',
    AWS_SECRET_ACCESS_KEY: 'b',
  });
  await t.throwsAsync(openS3Store(s3Address('s3://any/where'), folder()), { name: 'ConfigError', message: /no conditional writes/ });
  Object.assign(process.env, before);
  fake.close();
  fake.closeAllConnections();
});

onS3('a home keeps to the store that it has used, and one with a store of its own is not turned to another', async (t) => {
  const [home, own] = [folder(), folder()];
  const address = server.address();
  process.env['BACKSPIN_STORE'] = address;
  const { id } = await openStoreOf(home);
  await openStore(join(own, 'store'));
  await t.throwsAsync(openStoreOf(own), { name: 'ConfigError', message: /store of its own.*backspin store copy/ });
  process.env['BACKSPIN_STORE'] = server.address();
  await t.throwsAsync(openStoreOf(home), { name: 'ConfigError', message: /uses the store s3:.*unset it/ });
  delete process.env['BACKSPIN_STORE'];
  t.is((await openStoreOf(home)).id, id);
  t.is((await openStoreOf(home)).location, address);
});

onS3(
  'a store is copied into S3 and back: same id, outputs, experiments, datasets and models; a damaged part is left and named',
  async (t) => {
    const root = folder();
    const store = await openStore(root);
    const [ref, lost] = [await put(store, records(12_000)), await put(store, [record('lost')])];
    const tuned = await store.putModel(await model('weights'), aboutModel);
    await store.putOutput(output('step', ref));
    await store.putExperiment(experiment('a', { ledger: { x: { result: ref, stepKey: sha256('step'), cached: false } } }));
    await store.putPrompt('Say {{ it }}.');
    await store.grant({ module: 'm' });
    await rm(store.blobs.paths.blob((await store.dataset(lost)).shards[0]!.digest));

    const address = server.address();
    const there = await copyStore(root, address, folder());
    t.deepEqual([there.datasets, there.models, there.left.length], [1, 1, 1]);
    t.regex(there.left[0]!, new RegExp(lost.digest));
    const back = folder();
    execFileSync(process.execPath, [command, 'store', 'copy', address, back], { env: { ...process.env, BACKSPIN_HOME: folder() } });
    for (const copy of [await server.open(address), await openStore(back)]) {
      t.is(copy.id, store.id);
      t.deepEqual(await read(copy, ref), await read(store, ref));
      t.is(await readFile(join(await copy.modelFolder(tuned), 'model.safetensors'), 'utf8'), 'weights');
      t.deepEqual(await copy.output(sha256('step')), await store.output(sha256('step')));
      t.deepEqual(await copy.experiments(), await store.experiments());
      t.is(await copy.prompt(sha256('Say {{ it }}.')), 'Say {{ it }}.');
      t.true(await copy.isGranted({ module: 'm' }));
    }
    t.deepEqual(globSync(join(back, '**/*.tmp')), []);

    await store.putExperiment(experiment('b', { state: 'running' }));
    await t.throwsAsync(copyStore(root, server.address(), folder()), { name: 'Refused', message: /b in .* has not ended/ });
    await t.throwsAsync(copyStore(dirname(root), server.address(), folder()), { name: 'NotFound' });
  },
);
