/** What hosts of one store see of each other's running steps. */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { MapStart } from '../../schemas/steps.ts';
import { batchPath, batchResult, putBatchResult, type BatchResult } from '../../steps/batch-files.ts';
import { Journal } from '../../steps/journal.ts';
import type { Store } from '../../store/store.ts';
import { s3Program, S3Server } from '../support/s3.ts';

const onS3 = s3Program === undefined ? test.skip : test.serial;
let server: S3Server;
test.before(async () => {
  if (s3Program !== undefined) server = await S3Server.start();
});
test.after.always(() => server?.kill());

async function hosts(count: number): Promise<Store[]> {
  const address = server.address();
  const opened: Store[] = [];
  for (let n = 0; n < count; n++) opened.push(await server.open(address));
  return opened;
}
const STEP = 'a'.repeat(64);
const START: MapStart = { over: { kind: 'dataset', digest: 'd'.repeat(64), rows: 3 }, skip: 0, build: '' };
const journalOf = (store: Store) => batchPath(store, STEP, START, 0, 'journal');
const DONE = { kept: [[]], dropped: [] };
const never = (): Promise<never> => Promise.reject(new Error('it was asked again'));

onS3('another host goes on with the replies and records of a lost one, and a third with those of both, each once', async (t) => {
  const [one, other, third] = (await hosts(3)) as [Store, Store, Store];
  const write = async (store: Store, n: string, push: boolean) => {
    await store.shared!.pull(journalOf(store), { mine: true });
    const journal = await Journal.open(journalOf(store));
    using sharing = store.shared!.followJournal(journalOf(store));
    await journal.call({ r: n, n: '1' }, async () => ({ reply: `reply ${n}`, tokens: 3 }));
    await journal.finish(n, DONE, 2);
    if (push) await sharing.push();
    await journal.close();
    return journal;
  };
  await write(one, 'x', true);
  await write(one, 'y', true);
  await rm(one.work(STEP), { recursive: true }); // the host is lost
  await write(other, 'z', true);
  for (const store of [third, other, one]) {
    await store.shared!.pull(journalOf(store), { mine: true });
    const journal = await Journal.open(journalOf(store));
    t.is(await journal.call({ r: 'x', n: '1' }, never), 'reply x');
    t.is(await journal.call({ r: 'z', n: '1' }, never), 'reply z');
    t.deepEqual([journal.requests, journal.tokens, journal.attempts], [3, 9, 6]);
    t.deepEqual(journal.done('y'), DONE);
    await journal.close();
  }
});

onS3('a line that a killed process left incomplete is cut off before the lines of other hosts come', async (t) => {
  const [one, other] = (await hosts(2)) as [Store, Store];
  await mkdir(dirname(journalOf(one)), { recursive: true });
  await writeFile(journalOf(one), '{"r":"x","done":{"kept":[[]],"dropped":[]}}\n{"r":"ha');
  using sharing = one.shared!.followJournal(journalOf(one));
  await sharing.push();
  await mkdir(dirname(journalOf(other)), { recursive: true });
  await writeFile(journalOf(other), '{"r":"z","done":{"kept":[[]],"dr');
  await other.shared!.pull(journalOf(other), { mine: true });
  t.is(await readFile(journalOf(other), 'utf8'), '{"r":"x","done":{"kept":[[]],"dropped":[]}}\n');
});

onS3('of two results of a batch the first stands on both hosts, and one that a budget cut makes way', async (t) => {
  const [one, other] = (await hosts(2)) as [Store, Store];
  const result = (tokens: number, more: object = {}): BatchResult => ({
    over: START.over.digest,
    skip: 0,
    from: 0,
    totals: { batch: 0, in: 3, kept: 3, requests: 3, tokens, attempts: 0, spans: [], spent: null, ...more },
    done: [],
  });
  const put = (store: Store, made: BatchResult) => putBatchResult(store, STEP, START, made);
  t.is((await put(one, result(1, { in: 2, spent: 'tokens' }))).totals.tokens, 1);
  t.is((await put(other, result(2))).totals.tokens, 2, 'it goes on under a larger budget');
  t.is((await put(one, result(3))).totals.tokens, 2, 'a late one');
  for (const store of [one, other]) {
    await store.shared!.pull(join(store.work(STEP), 'batches'), { journals: false });
    t.is((await batchResult(store, STEP, START, 0))?.totals.tokens, 2);
  }
  await one.clearWork(STEP);
  t.deepEqual((await other.blobs.list(other.blobs.paths.folders.work)).length, 0);
});

onS3('a training goes on with the newest whole checkpoint of another host, for the same rows alone', async (t) => {
  const [one, other] = (await hosts(2)) as [Store, Store];
  const runOf = (store: Store) => join(store.work(STEP), 'run');
  const checkpoint = async (step: number, sealed = true) => {
    const folder = join(runOf(one), 'checkpoints', `step-${step}`);
    await mkdir(join(folder, 'model'), { recursive: true });
    await writeFile(join(folder, 'model', 'weights'), `weights ${step}`);
    if (sealed) await writeFile(join(folder, 'COMPLETE.json'), JSON.stringify({ version: 1, step, files: { 'model/weights': 9 } }));
    await writeFile(join(runOf(one), 'events.jsonl'), `{"event":"step","step":${step}}\n`);
    await one.shared!.pushCheckpoint(runOf(one), step, 'rows');
  };
  for (const step of [2, 4]) await checkpoint(step);
  await checkpoint(6, false);
  const pull = (newest: number, rows: string) => other.shared!.pullCheckpoint(runOf(other), newest, rows);
  t.is(await pull(0, 'other rows'), undefined);
  t.is(await pull(4, 'rows'), undefined, 'its own is as new');
  t.is(await pull(3, 'rows'), 4);
  t.deepEqual(await readdir(join(runOf(other), 'checkpoints')), ['step-4']);
  t.is(await readFile(join(runOf(other), 'checkpoints', 'step-4', 'model', 'weights'), 'utf8'), 'weights 4');
  t.is(await readFile(join(runOf(other), 'events.jsonl'), 'utf8'), '{"event":"step","step":4}\n');
  const left = await other.blobs.list(join(other.work(STEP), 'checkpoints'), 2);
  t.deepEqual(
    left.map(({ path }) => path.split('/').at(-1)),
    ['step-4'],
    'the one before is gone',
  );
});
