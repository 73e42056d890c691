/** The verbs that need no server, on a store that a completed experiment left. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { BoundConfig } from '../../schemas/config.ts';
import { loadExperiment } from '../../experiments/config.ts';
import type { Rec } from '../../recipe/define.ts';
import { recordId } from '../../schemas/canonical.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { backspin, file, temporary } from './cli.ts';
import { dataset, experiment, giveAgain, home, key, step } from './completed.ts';

test('status --json has the fields that are promised, with counts from the outputs of the steps', async (t) => {
  const { code, stdout } = await backspin(await home(), ['status', 'toy', '--json']);
  t.is(code, 0);
  const status = JSON.parse(stdout) as { steps: object[] };
  t.like(status, {
    experiment: 'toy',
    recipe: 'humpback',
    state: 'completed',
    round: 2,
    runId: null,
    result: { kind: 'dataset', rows: 2 },
  });
  t.like(status.steps[0], {
    path: 'r1/judge',
    arm: null,
    stepKey: key('r1/judge'),
    name: 'judge',
    kind: 'map',
    round: 1,
    state: 'completed',
    cached: false,
    in: 3,
    kept: 2,
    dropped: { 'no-score': 1 },
    requests: 7,
    seconds: 2,
    output: { rows: 2 },
  });
});

test('metrics are one object for each round and arm; what was measured before the rounds stands at round 0', async (t) => {
  const { stdout } = await backspin(await home(), ['status', 'toy', '--json']);
  t.deepEqual((JSON.parse(stdout) as { metrics: unknown }).metrics, [
    { round: 0, arm: null, 'first.exact': 0.25 },
    { round: 1, arm: null, 'ours.exact': 0.5, 'theirs.exact': 0.75, other: 1 },
  ]);
});

test('show finds a step by its path, by its end where that is one step, and by its key', async (t) => {
  const folder = await home();
  const ids = async (step: string) =>
    (JSON.parse((await backspin(folder, ['show', 'toy', step, '--json'])).stdout) as { text: string }[]).map(({ text }) => text);
  t.deepEqual(await ids('r1/judge'), ['one', 'two']);
  t.deepEqual(await ids(key('r2/judge').slice(0, 8)), ['one', 'two']);
  t.regex(
    (await backspin(folder, ['show', 'toy', 'judge'])).stderr,
    /"judge" names several steps of toy; give one of r1\/judge, r2\/judge/,
  );
  t.regex((await backspin(folder, ['show', 'toy', 'r1/juge'])).stderr, /no step "r1\/juge"; the nearest is "r1\/judge"/);
});

test('show --dropped gives the dropped with reason and evidence, and names the reasons there are', async (t) => {
  const folder = await home();
  const { stdout } = await backspin(folder, ['show', 'toy', 'r1/judge', '--dropped', 'no-score', '--json']);
  t.like((JSON.parse(stdout) as object[])[0], { reason: 'no-score', evidence: 'I like it', value: { text: 'x' } });
  t.regex((await backspin(folder, ['show', 'toy', 'r1/judge', '--dropped', 'no-scor'])).stderr, /the nearest is "no-score"/);
});

test('show --dropped tells the file and line that a dropped record was made of, whatever lies between', async (t) => {
  const folder = await home();
  const store = await openStore(join(folder, 'store'));
  const read = { id: recordId({ text: 'read' }, []), from: [], value: { text: 'read' } };
  const made = { id: recordId({ text: 'made' }, [read.id]), from: [read.id], value: { text: 'made' } };
  const written = async (...records: Rec<unknown>[]) => {
    const writer = store.write('pair');
    for (const record of records) await writer.add(record);
    return writer.commit('exact');
  };
  const [source, between] = [await step(store, 'data-corpus', await written(read)), await step(store, 'double', await written(made))];
  const origins = await written({ id: read.id, from: [], value: 'corpus.jsonl:7' });
  await giveAgain(store, 'data-corpus', { origins });
  const gone = { id: made.id, reason: 'no-score', evidence: 'I like it', value: made.value };
  const judged = await step(store, 'judge', await dataset(store, []), await dataset(store, [gone]));
  await store.putExperiment({ ...(await store.experiment('toy'))!, steps: [source, between, judged] });
  const { stdout } = await backspin(folder, ['show', 'toy', 'judge', '--dropped', 'all']);
  t.regex(stdout, /^where: corpus\.jsonl:7$/m);
});

test('show tells records that went while their source is kept apart from dropped sources, and --dropped gives both', async (t) => {
  const folder = await home();
  const store = await openStore(join(folder, 'store'));
  const about = (reason: string) => ({ id: '0', reason, evidence: 'said', value: { text: reason } });
  const droppedRecords = await dataset(store, [about('no-score'), about('short'), about('short')]);
  await giveAgain(store, 'r1/judge', { dropped: { 'no-score': 1 }, parts: { short: 2 }, droppedRecords });
  const show = async (...more: string[]) => (await backspin(folder, ['show', 'toy', 'r1/judge', ...more])).stdout;
  t.regex(await show(), /dropped 1 no-score, besides, of sources that are counted by another record, 2 short\n/);
  t.is((JSON.parse(await show('--dropped', 'short', '--json')) as unknown[]).length, 2);
});

test('status and show tell how most replies end of which nothing could be read', async (t) => {
  const folder = await home();
  const store = await openStore(join(folder, 'store'));
  const known = (await store.output(key('r1/judge')))!;
  const unread = [
    { ending: 'Score: "6"\u001b[2J', count: 1200 },
    { ending: 'I pass.', count: 3 },
  ];
  await rm(pathsOf(store.root).output(known.stepKey));
  await store.putOutput({ ...known, unread });
  const [status, show] = [await backspin(folder, ['status', 'toy']), await backspin(folder, ['show', 'toy', 'r1/judge'])];
  t.true(status.stdout.includes(String.raw`dropped 1 no-score (unread endings: "Score: \"6\"\u001b[2J" (1,200)), 7 calls`), status.stdout);
  t.true(
    show.stdout.includes(String.raw`most frequent endings of unread replies: "Score: \"6\"\u001b[2J" (1,200), "I pass." (3)`),
    show.stdout,
  );
});

test('show --limit shows no more records than asked for', async (t) => {
  const { stdout } = await backspin(await home(), ['show', 'toy', 'r1/judge', '--limit', '1', '--json']);
  t.is((JSON.parse(stdout) as unknown[]).length, 1);
});

test('a dataset is exported as JSONL with its ids and a card, and never over something else', async (t) => {
  const folder = await home();
  const to = join(folder, 'out');
  t.is((await backspin(folder, ['export', 'toy', 'r1/judge', '--to', to])).code, 0);
  const rows = readFileSync(join(to, 'data.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  t.like(rows[0], { id: recordId({ text: 'one', score: 5 }, []), text: 'one', score: 5 });
  t.regex(readFileSync(join(to, 'README.md'), 'utf8'), /name: score\n\s+dtype: int64/);
  const again = await backspin(folder, ['export', 'toy', '--to', to]);
  t.is(again.code, 1);
  t.regex(again.stderr, /is not empty: give a new folder/);
});

test('another configuration under a used name is refused with the difference, key by key, before anything starts', async (t) => {
  const folder = await home();
  const path = file(folder, 'toy.yaml', experiment(3));
  const { code, stderr } = await backspin(folder, ['launch', path]);
  t.is(code, 1);
  t.regex(stderr, /toy was launched with another configuration/);
  t.regex(stderr, /^ {2}parameters\.rounds: 2 -> 3$/m);
  t.notRegex(stderr, /parameters\.keep|recipe/);
  t.deepEqual(
    readdirSync(folder).filter((name) => name === 'up.json' || name === 'temporal.db'),
    [],
  );
});

test('an experiment of a version that knew fewer settings is the same one', async (t) => {
  const folder = temporary();
  const path = file(folder, 'toy.yaml', experiment(2));
  const { bound } = await loadExperiment(path);
  const { maxModelLength: _, ...serving } = bound.serving;
  const { replay: __, ...parameters } = bound.parameters as { readonly replay?: unknown };
  const config = { ...bound, serving, parameters } as BoundConfig;
  await home({ config, configDigest: '0'.repeat(64) }, folder);
  const { code, stdout } = await backspin(folder, ['launch', path]);
  t.is(code, 0);
  t.regex(stdout, /completed with this configuration/);
});

test('launching what was completed under the same configuration starts nothing and shows the result', async (t) => {
  const folder = temporary();
  const path = file(folder, 'toy.yaml', experiment(2));
  const same = await loadExperiment(path);
  await home({ config: same.bound, configDigest: same.digest }, folder);
  const { code, stdout } = await backspin(folder, ['launch', path]);
  t.is(code, 0);
  t.regex(stdout, /toy was completed with this configuration/);
  t.false(existsSync(join(folder, 'temporal.db')));
});

test('an experiment that is not there is named, with the nearest there is', async (t) => {
  const folder = await home();
  for (const args of [
    ['status', 'toi'],
    ['show', 'toi', 'x'],
    ['export', 'toi', '--to', 'x'],
    ['cancel', 'toi'],
    ['approve', 'toi'],
    ['watch', 'toi'],
  ]) {
    const { code, stderr } = await backspin(folder, args);
    t.is(code, 1);
    t.regex(stderr, /There is no experiment "toi" in .*; the nearest is "toy"/);
  }
});

test('verbs that need a server say how to start one', async (t) => {
  const folder = await home({ state: 'running' });
  for (const args of [
    ['watch', 'toy'],
    ['cancel', 'toy'],
    ['pause', 'toy'],
  ]) {
    const { code, stderr } = await backspin(folder, args);
    t.is(code, 1);
    t.regex(stderr, /Nothing is up in .*: run `backspin up`/);
  }
});

test('a server that does not answer is a sentence for those that need it, and no hindrance for those that do not', async (t) => {
  const folder = await home({ state: 'running' });
  const dead = { TEMPORAL_ADDRESS: '127.0.0.1:9' };
  t.is((await backspin(folder, ['status', 'toy'], dead)).code, 0);
  t.is((await backspin(folder, ['list'], dead)).code, 0);
  t.regex((await backspin(folder, ['doctor'], dead)).stdout, /The one at 127\.0\.0\.1:9, which the environment or a .* start it, or unset/);
  const { code, stderr } = await backspin(folder, ['cancel', 'toy'], dead);
  t.is(code, 1);
  t.regex(stderr, /No Temporal server answers at 127\.0\.0\.1:9/);
  t.notRegex(stderr, /\n\s+at /);
});

test('a fork above the rounds that were reached is refused', async (t) => {
  const { code, stderr } = await backspin(await home(), ['fork', 'toy', '--from-round', '3', '--name', 'other']);
  t.is(code, 1);
  t.regex(stderr, /toy has reached round 2/);
});
