/** A step that stops at any moment, and goes on after others have been at work, gives what it gives undisturbed. */
import test from 'ava';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stepsOf } from '../../steps/work.ts';
import type { MapWork, StepMiss } from '../../schemas/steps.ts';
import { atPoints, points, type Point } from '../../steps/trigger-points.ts';
import { resolve } from '../../steps/resolve.ts';
import { batchPath } from '../../steps/batch-files.ts';
import type { Models } from '../../steps/models.ts';
import { moduleDigest } from '../../steps/registry.ts';
import type { StepCall, DatasetRef } from '../../schemas/call.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { pathsOf } from '../../store/paths.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, put, read, record } from '../support/store.ts';
import { put as putFiles } from '../bad-input/case.ts';
import { temporary } from '../cli/cli.ts';

const path = join(import.meta.dirname, '../support/chained.ts');
const modules = [{ path, digest: await moduleDigest(path) }];
const beat = { signal: new AbortController().signal, heartbeat: () => {} };
const BATCH = 16;

/** The chain over 60 texts, two of which are equal, in a store of its own. */
async function world() {
  const { services, context } = await bench({ reply: () => '' }, { modules });
  const { store } = services;
  const speaker = await store.putModel(putFiles(temporary(), { 'config.json': '{}', 'model.safetensors': 'w' }), aboutModel);
  const texts = Array.from({ length: 60 }, (_, n) => record({ text: `text ${n === 41 ? 40 : n}` }));
  const inputs = { over: await put(store, texts), with: { speaker } };
  const operation = 'chained.spread>chained.sift>chained.end';
  const step = (by: number): StepCall => ({
    verb: 'map',
    operation,
    path: operation,
    label: 'map',
    arm: null,
    round: 1,
    inputs: { ...inputs, params: { by } },
  });
  const asked: string[] = [];
  const models = answering(asked);
  const steps = stepsOf(services);
  /** Opens the step, unless it goes on with work that it was given before, and brings it to its end. */
  async function carryOut(call: StepCall, given?: MapWork, opened: (work: MapWork) => void = () => {}): Promise<void> {
    const begun = given ? undefined : await steps.open(call, context);
    if (begun?.hit) return;
    const planned = given ?? (begun as StepMiss).work!;
    const work = { ...planned, batchSize: BATCH, batches: Math.ceil(planned.over.rows / BATCH) };
    opened(work);
    const ended = await Promise.allSettled(
      Array.from({ length: work.batches }, (_, batch) => steps.batch({ call, context, work, batch }, models, beat)),
    );
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
    await commit(call, work);
  }
  const commit = (call: StepCall, work: MapWork) => steps.commit(call, context, work, { batches: work.batches, spent: null });
  const chain = async (call: StepCall) => (await resolve(call, context, await services.registry(modules))).chain;
  /** All that is said of what the step and its prefixes gave, but for time and cost. */
  async function outcome(call: StepCall) {
    const outputs = await Promise.all((await chain(call)).map(async ({ stepKey }) => (await store.output(stepKey))!));
    return outputs.map(({ result, in: of, kept, dropped, parts, droppedRecords }) => ({
      result,
      of,
      kept,
      dropped,
      parts,
      droppedRecords,
    }));
  }
  const under = (build: string) => void Object.assign(services, { build });
  return { store, step, carryOut, commit, outcome, asked, chain, under };
}
type World = Awaited<ReturnType<typeof world>>;

/** Models that reply with a number by prompt and seed, and note each request. */
const answering = (asked: string[]): Models => ({
  concurrency: 4,
  of: () => ({
    served: 'm',
    client: {
      async chat(_model, messages, _sampling, { seed, requestId }) {
        asked.push(requestId);
        await Promise.resolve();
        const text = String(Number.parseInt(sha256(`${seed} ${messages[0]!.content}`).slice(0, 6), 16));
        return { reply: { text, finish: 'stop' }, tokens: 1, written: 0 };
      },
      complete: () => Promise.reject(new Error('nobody completes')),
      score: () => Promise.reject(new Error('nobody scores')),
    },
  }),
});

const undisturbed = await world();
await undisturbed.carryOut(undisturbed.step(3));
const wanted = await undisturbed.outcome(undisturbed.step(3));
/** How often each point is come to. */
const visits = await counted();

async function counted(): Promise<ReadonlyMap<Point, number>> {
  const times = new Map<Point, number>();
  atPoints((point) => void times.set(point, (times.get(point) ?? 0) + 1));
  const { step, carryOut } = await world();
  await carryOut(step(3));
  atPoints(undefined);
  return times;
}

/** Runs the step until it comes to a point for the nth time; gives the work that it had been given. */
async function until({ step, carryOut }: World, stop: Point, n: number): Promise<MapWork | undefined> {
  let left = n;
  let given: MapWork | undefined;
  atPoints((point) => {
    if (point === stop && left-- === 1) throw new Error('stopped here');
  });
  await carryOut(step(3), undefined, (work) => (given = work)).then(
    () => {
      throw new Error(`${stop} was not come to`);
    },
    (error: Error) => {
      if (error.message !== 'stopped here') throw error;
    },
  );
  atPoints(undefined);
  return given;
}

/** Ids that two records of a dataset of the chain have, since they come of equal texts. Where two batches have one each, both ask. */
async function twins({ store, chain, step }: World): Promise<ReadonlySet<string>> {
  const twice = new Set<string>();
  for (const { stepKey } of await chain(step(3))) {
    const ids = (await read(store, (await store.output(stepKey))!.result as DatasetRef)).map(({ id }) => id);
    for (const [at, id] of ids.entries()) if (ids.indexOf(id) !== at) twice.add(id);
  }
  return twice;
}

test('every point is come to', (t) => {
  t.deepEqual(
    [...points].filter((point) => !visits.has(point)),
    [],
  );
  t.true(wanted.at(-1)!.parts !== undefined);
});

/** At most five of them, the first and the last too. */
const some = (count: number) => [...new Set([0, 0.25, 0.5, 0.75, 1].map((share) => 1 + Math.round(share * (count - 1))))];

for (const point of points)
  for (const n of some(visits.get(point) ?? 0)) {
    test.serial(
      `stopped ${point} (${n}), it goes on to the same records, the same dropped and the same counts, and asks nothing twice`,
      async (t) => {
        const made = await world();
        await until(made, point, n);
        await made.carryOut(made.step(3));
        t.deepEqual(await made.outcome(made.step(3)), wanted);
        t.is(new Set(made.asked).size, made.asked.length);
      },
    );

    test.serial(`stopped ${point} (${n}), while another step commits the beginning of its chain, it comes to the same`, async (t) => {
      for (const opensAgain of [true, false]) {
        const made = await world();
        const given = await until(made, point, n);
        const before = made.asked.splice(0);
        await made.carryOut(made.step(5));
        made.asked.splice(0);
        await made.carryOut(made.step(3), opensAgain ? undefined : given);
        t.deepEqual(await made.outcome(made.step(3)), wanted);
        const both = [...before, ...made.asked];
        const again = both.filter((id, at) => both.indexOf(id) !== at);
        const twice = await twins(made);
        t.deepEqual(
          again.filter((id) => !twice.has(id.split('/')[2]!)),
          [],
          'nothing that was answered is asked again',
        );
      }
    });
  }

test.serial('opened behind a beginning that is lost then, it begins further up, and keeps what it was answered', async (t) => {
  const made = await world();
  await made.carryOut(made.step(5));
  const given = await until(made, 'commit: before the first prefix', 1);
  t.is(given?.skip, 2);
  const answered = made.asked.splice(0).filter((id) => id.includes('/2/'));
  for (const { stepKey } of (await made.chain(made.step(3))).slice(0, 2)) await rm(pathsOf(made.store.root).output(stepKey));
  await t.throwsAsync(made.carryOut(made.step(3), given), { name: 'ArtifactMissing' });
  await made.carryOut(made.step(3));
  t.deepEqual(await made.outcome(made.step(3)), wanted);
  t.true(answered.length > 0 && made.asked.every((id) => !answered.includes(id)));
});

test.serial('what other code has half done is done anew, from the replies that were had', async (t) => {
  const made = await world();
  made.under('one');
  const given = (await until(made, 'commit: before the first prefix', 1))!;
  const { stepKey } = (await made.chain(made.step(3))).at(-1)!;
  for (let batch = 0; batch < 2; batch++) {
    const path = batchPath(made.store, stepKey, given, batch, 'result');
    const result = await readFile(path, 'utf8');
    await writeFile(path, result.replaceAll('"text":"', '"text":"as the code of before has it: '));
  }
  made.asked.splice(0);
  made.under('two');
  await made.carryOut(made.step(3));
  t.deepEqual(await made.outcome(made.step(3)), wanted);
  t.deepEqual(made.asked, []);
});

test.serial('a batch of other records, or one that lost a record between two operators, is never committed', async (t) => {
  const made = await world();
  const given = (await until(made, 'commit: before the first prefix', 1))!;
  const { stepKey } = (await made.chain(made.step(3))).at(-1)!;
  const path = batchPath(made.store, stepKey, given, 1, 'result');
  const commit = () => made.commit(made.step(3), given);
  type Result = { over: string; done: { id: string; kept: { from: string[] }[][] }[] };
  const changed = async (change: (result: Result) => void) => {
    const whole = await readFile(path, 'utf8');
    const result = JSON.parse(whole) as Result;
    change(result);
    await writeFile(path, JSON.stringify(result));
    return async () => writeFile(path, whole);
  };
  for (const change of [
    ({ done }: Result) => done.reverse(),
    ({ done }: Result) => (done[0] = done[1]!),
    ({ done }: Result) => done.pop(),
    ({ done }: Result) => done.find(({ kept }) => kept[1]!.length > 1)!.kept[1]!.pop(),
    ({ done }: Result) => done.find(({ kept }) => kept[2]!.length > 1)!.kept[2]!.pop(),
  ]) {
    const back = await changed(change);
    await t.throwsAsync(commit(), { name: 'ConservationViolated' });
    await back();
  }
  const back = await changed((result) => (result.over = sha256('other')));
  await t.throwsAsync(commit(), { name: 'ArtifactMissing' });
  await back();
  await commit();
  t.deepEqual(await made.outcome(made.step(3)), wanted);
});

test('each record that enters an operator of a chain is kept, or among the dropped with its reason and evidence', async (t) => {
  const { store } = undisturbed;
  const [first, second, last] = wanted;
  const ids = async (ref: DatasetRef) => (await read(store, ref)).map(({ id }) => id);
  const gone = async (ref: DatasetRef | null) => (await read(store, ref!)).map(({ value }) => value as { id: string; evidence: string });
  for (const [before, after] of [
    [first!, second!],
    [second!, last!],
  ] as const) {
    const parents = new Set((await read(store, after.result as DatasetRef)).map(({ from }) => from[0]!));
    const dropped = new Set((await gone(after.droppedRecords)).map(({ id }) => id));
    for (const id of await ids(before.result as DatasetRef)) t.true(parents.has(id) !== dropped.has(id));
  }
  for (const { of, kept, dropped, parts = {}, droppedRecords } of wanted) {
    const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((all, count) => all + count, 0);
    t.is(of, kept + sum(dropped));
    t.is(droppedRecords!.rows, sum(dropped) + sum(parts));
    t.true((await gone(droppedRecords)).every(({ evidence }) => evidence !== null));
  }
});
