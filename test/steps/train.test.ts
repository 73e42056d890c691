/** What a training of a low-rank adapter is given, and what becomes of it in the store. */
import test from 'ava';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolve } from '../../steps/resolve.ts';
import { MicroBatches } from '../../steps/micro-batches.ts';
import { putCurve } from '../../steps/curve.ts';
import { commitTraining, prepareTraining } from '../../steps/train.ts';
import type { StepCall, ModelRef } from '../../schemas/call.ts';
import { bench } from '../support/memory.ts';
import { put, read, record } from '../support/store.ts';

const lora = { rank: 8, alpha: 16 };
const made = await bench({ reply: () => '' });
const { store } = made.services;
const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
await writeFile(join(folder, 'config.json'), '{}');
const about = { template: null, settings: null, steps: null, lastLearningRate: null, determinism: 'exact' } as const;
const base = await store.putModel(folder, { ...about, state: 'weights', base: null, from: null, dataset: null });
const data = await put(store, [record({ messages: [] })]);

async function train(from: ModelRef, settings: object) {
  const fixed = { objective: 'sft', learningRate: 1e-3, length: { steps: 2 }, batch: 1, maxTokens: 8, lora, adapter: 'merge' };
  const inputs = { ...fixed, from, data, ...settings };
  const call: StepCall = { verb: 'train', operation: 'sft', label: 'm', path: 'm', arm: null, round: null, inputs };
  const model = (await made.perform(call)) as ModelRef;
  return { model, manifest: await store.model(model), spec: made.trainings.at(-1)!.spec };
}
const folderOf = (model: { digest: string }) => store.modelFolder(model);

test.serial('a training with lora gives an adapter of what it began with, and its settings are in the manifest', async (t) => {
  const { manifest, spec } = await train(base, { lora: { ...lora, targets: ['q_proj'], dropout: 0.1 } });
  t.like(spec, { from: await folderOf(base), base: null, lora: { ...lora, targets: ['q_proj'], dropout: 0.1 } });
  t.like(manifest, { from: base.digest, base: base.digest, settings: { lora: spec.lora } });
  const all = await train(base, {});
  t.deepEqual(all.spec.lora, { ...lora, targets: null, dropout: 0 });
  t.not(all.model.digest, manifest.digest, 'the settings are in the key of the step');
});

test.serial(
  'a preference has its beta and its reference, which are in the key of the step and, without paths, in the manifest',
  async (t) => {
    const first = await train(base, {});
    t.like(first.spec, { beta: null, reference: null });
    t.like((await train(base, { objective: 'kto', reference: first.model })).spec, {
      objective: 'kto',
      beta: 0.1,
      loss: 'sigmoid',
      sft: 0,
    });
    const plain = await train(base, { objective: 'dpo' });
    t.like(plain.spec, { objective: 'dpo', beta: 0.1, reference: null });
    const held = await train(base, { objective: 'dpo', beta: 0.5, reference: first.model });
    t.deepEqual(held.spec.reference, { folder: await folderOf(first.model), base: await folderOf(base) });
    t.like(held.manifest, { settings: { beta: 0.5 } });
    t.false('reference' in (held.manifest.settings as object));
    t.is(new Set([first, plain, held].map(({ model }) => model.digest)).size, 3);
  },
);

test.serial('an adapter that is gone on with stays upon its base', async (t) => {
  const first = await train(base, {});
  const { manifest, spec } = await train(first.model, { adapter: 'continue' });
  t.like(spec, { from: await folderOf(first.model), base: await folderOf(base), adapter: 'continue' });
  t.like(manifest, { from: first.model.digest, base: base.digest });
});

test.serial('an adapter that is merged first becomes the base of the next, or is in the whole weights', async (t) => {
  const first = await train(base, {});
  const second = await train(first.model, {});
  t.is(second.manifest.from, first.model.digest);
  t.like(await store.model({ digest: second.manifest.base! }), { from: first.model.digest, base: null, steps: 2 });
  const whole = await train(first.model, { lora: null });
  t.like(whole.manifest, { from: first.model.digest, base: null });
});

const pairs = [
  { instruction: 'Say hello.', response: 'Hello.' },
  { instruction: 'Say nothing.', response: '' },
  { instruction: '', response: 'Hello.' },
  { instruction: 'Say it at length.', response: 'Hello. '.repeat(100) },
  { instruction: 'Say no more.' },
  { instruction: 'Say hello again.', response: 'Hello again.' },
].map(record);
/** A training of `pairs` whose trainer refuses its second row, prepared anew without it. */
async function refusing(settings: object, rows = pairs) {
  const template = 'humpback.toInstruction';
  const fixed = { objective: 'sft', learningRate: 1e-3, batch: 1, maxTokens: 8, lora: null, adapter: 'merge', template };
  const inputs = { ...fixed, length: { epochs: 1 }, from: base, data: await put(store, rows), ...settings };
  const call: StepCall = { verb: 'train', operation: 'sft', label: 'm', path: 'r1/m', arm: null, round: null, inputs };
  const registry = await made.services.registry([]);
  const resolved = await resolve(call, made.context, registry);
  const prepare = () => prepareTraining(store, registry, resolved, made.context);
  const before = await prepare();
  const refused = { line: 2, reason: 'too-long', evidence: 'has 404 tokens, 4 of them before the answer; maxTokens is 8' };
  await writeFile(join(before.run, 'refused.jsonl'), `${JSON.stringify(refused)}\n`);
  return { before, prepare, registry, resolved };
}

test.serial('rows that template and trainer refuse are dropped with their reasons, and the steps go by those that are left', async (t) => {
  const { before, prepare, registry, resolved } = await refusing({});
  t.like(before, { rows: 3, steps: 3 });
  const spec = await prepare();
  t.like(spec, { rows: 2, steps: 2, data: before.data });
  await mkdir(join(spec.run, 'model'));
  await writeFile(join(spec.run, 'model/config.json'), 'of two rows');
  const done = { seconds: 1, tokens: 1, truncated: 0, accumulation: 1, computing: {}, steps: [], lastLearningRate: 0 };
  const output = await commitTraining(store, registry, resolved, spec, done);
  t.like(output, { in: 6, kept: 2, dropped: { empty: 2, 'too-long': 1, invalid: 1 } });
  const dropped = (await read(store, output.droppedRecords!)).map(
    ({ value }) => value as { reason: string; evidence: string; value: object },
  );
  t.deepEqual(
    dropped.map(({ value }) => value),
    pairs.slice(1, 5).map(({ value }) => value as object),
  );
  t.regex(dropped[0]!.evidence, /response is ""/);
  t.is(dropped[2]!.evidence, 'has 404 tokens, 4 of them before the answer; maxTokens is 8');
  t.like(await store.model(output.result as ModelRef), {
    settings: { rows: { in: 6, kept: 2, dropped: { empty: 2, 'too-long': 1, invalid: 1 }, truncated: 0 } },
  });
});

test.serial('a row that is too long ends the training only where that is asked for, and says which it is', async (t) => {
  const { prepare } = await refusing({ tooLong: 'fail' });
  await t.throwsAsync(prepare(), {
    message: new RegExp(`Training r1/m: 1 of 6 rows are too long, such as record ${pairs[3]!.id} has 404 tokens.*: raise maxTokens`),
  });
  t.like((await refusing({ tooLong: 'truncate' })).before, { tooLong: 'truncate' });
});

test.serial('a micro-batch that fitted is where the next training of the kind begins, on such a device alone', async (t) => {
  const { before, registry, resolved } = await refusing({});
  const known = new MicroBatches(await mkdtemp(join(tmpdir(), 'backspin-')));
  await known.put(base.digest, 'cuda 9.0', before, 4);
  const rowsOn = async (device: string, microBatch: number | 'auto', settings = resolved) =>
    (
      await prepareTraining(
        store,
        registry,
        settings,
        { ...made.context, training: { ...made.context.training, microBatch } },
        { known, device },
      )
    ).microBatch;
  t.is(before.microBatch, null);
  t.is(await rowsOn('cuda 9.0', 'auto'), 4);
  t.is(await rowsOn('cpu', 'auto'), null);
  t.is(await rowsOn('cuda 9.0', 2), 2);
  t.is(await rowsOn('cuda 9.0', 16), 4);
  t.is(await rowsOn('cuda 9.0', 'auto', (await refusing({ maxTokens: 9 })).resolved), null);
});

test.serial('weights of which a step was computed in micro-batches are no promise of equal bytes', async (t) => {
  for (const [accumulation, determinism] of [
    [1, 'seeded'],
    [2, 'sampled'],
  ] as const) {
    const { before, registry, resolved } = await refusing({ learningRate: accumulation }, pairs.slice(0, 1));
    await mkdir(join(before.run, 'model'));
    await writeFile(join(before.run, 'model/config.json'), `${accumulation}`);
    const done = { seconds: 1, tokens: 1, truncated: 0, accumulation, computing: {}, steps: [], lastLearningRate: 0 };
    t.is((await commitTraining(store, registry, resolved, before, done)).determinism, determinism);
  }
});

test.serial('what a training measured at each step stays with its result, and is no part of the model', async (t) => {
  const step = (at: number) =>
    ({ v: 1, event: 'step', step: at, loss: 2 / at, learningRate: 0.1, tokens: 7, seconds: Math.random() }) as const;
  const models: string[] = [];
  for (const rate of [7, 8]) {
    const { before, registry, resolved } = await refusing({ learningRate: rate }, pairs.slice(0, 1));
    await mkdir(join(before.run, 'model'));
    await writeFile(join(before.run, 'model/config.json'), 'the same');
    const done = {
      seconds: 1,
      tokens: 14,
      truncated: 0,
      accumulation: 1,
      computing: { torch: '2' },
      steps: [step(1), step(2)],
      lastLearningRate: 0,
    };
    const { curve, result } = await commitTraining(store, registry, resolved, before, done);
    models.push((result as ModelRef).digest);
    t.like(curve!.last, { step: 2, loss: 1 });
    t.deepEqual(
      (await read(store, curve!.records)).map(({ value }) => (value as { loss: number }).loss),
      [2, 1],
    );
  }
  t.is(models[0], models[1]);
  t.like((await store.model({ digest: models[0]! })).settings, { computing: { torch: '2' } });
});

test.serial('the steps at which a loss jumped stay with the curve', async (t) => {
  const step = (at: number) =>
    ({ v: 1, event: 'step', step: at, loss: at === 30 ? 9 : 1, learningRate: 0.1, tokens: 7, seconds: 1 }) as const;
  const steps = Array.from({ length: 40 }, (_, at) => step(at + 1));
  t.deepEqual((await putCurve(store, steps)).curve!.spikes, [30]);
  t.is((await putCurve(store, steps.slice(0, 20))).curve!.spikes, undefined);
});

test.serial('rows with the same prompt are held out together, in every training, and the steps go by the others', async (t) => {
  const chat = (asked: string, answered: string) => ({
    messages: [
      { role: 'user', content: asked },
      { role: 'assistant', content: answered },
    ],
  });
  const rows = Array.from({ length: 40 }, (_, at) => record(chat(`Question ${at >> 1}?`, `Answer ${at}.`)));
  const prepared = async (given: typeof rows, share: number) => {
    const inputs = { template: undefined, length: { epochs: 1 }, evaluate: { share, patience: 2 } };
    const { before } = await refusing(inputs, given);
    const lines = (await readFile(before.data, 'utf8')).trim().split('\n');
    const read = lines.map((line) => JSON.parse(line) as ReturnType<typeof chat> & { heldOut?: true });
    return { spec: before, held: read.filter(({ heldOut }) => heldOut).map(({ messages }) => messages[0]!.content) };
  };
  const { spec, held } = await prepared(rows, 0.3);
  t.true(held.length > 2 && held.length < 30);
  t.like(spec, { rows: 40, steps: 40 - held.length, evaluate: { every: Math.ceil((40 - held.length) / 10), patience: 2 } });
  t.true([...Map.groupBy(held, (asked) => asked).values()].every((those) => those.length === 2));
  const others = await prepared(rows.slice(10), 0.3);
  t.deepEqual(
    others.held,
    held.filter((asked) => Number(/\d+/.exec(asked)![0]) >= 5),
  );
  await t.throwsAsync(prepared(rows.slice(0, 2), 1e-6), { message: /`evaluate.share` of 0.000001 holds out none of 2 rows: raise it/ });
});

test.serial('a training that ended early has the steps of its best model', async (t) => {
  const rows = Array.from({ length: 30 }, (_, at) =>
    record({
      messages: [
        { role: 'user', content: `${at}` },
        { role: 'assistant', content: '!' },
      ],
    }),
  );
  for (const [patience, steps] of [
    [2, 2],
    [undefined, 3],
  ] as const) {
    const evaluate = { share: 0.5, ...(patience && { patience }) };
    const { before, registry, resolved } = await refusing({ template: undefined, evaluate, learningRate: steps }, rows);
    await rm(join(before.run, 'refused.jsonl'));
    await mkdir(join(before.run, 'model'));
    await writeFile(join(before.run, 'model/config.json'), `until step ${steps}`);
    const measured = [2, 1, 1.5].map(
      (loss, at) =>
        ({ v: 1, event: 'step', step: at + 1, loss, learningRate: 1 / (at + 1), tokens: 7, seconds: 1, validationLoss: loss }) as const,
    );
    const done = { seconds: 1, tokens: 21, truncated: 0, accumulation: 1, computing: {}, steps: measured, lastLearningRate: 1 / 3 };
    const { curve, result } = await commitTraining(store, registry, resolved, before, done);
    t.like(curve, { last: { step: 3 }, best: { step: 2, validationLoss: 1 } });
    t.like(await store.model(result as ModelRef), {
      steps,
      lastLearningRate: 1 / steps,
      settings: { evaluate, validationLoss: steps === 2 ? 1 : 1.5 },
    });
  }
});

test.serial('a training that is left without rows says what became of them', async (t) => {
  const template = { template: 'humpback.toInstruction' };
  await t.throwsAsync(refusing(template, pairs.slice(1, 3)), {
    message: /none of its 2 rows can be trained on \(2 empty\), such as record/,
  });
  await t.throwsAsync(refusing(template, []), { message: /has no rows/ });
});
