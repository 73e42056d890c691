/** The evaluation of a tagger: its subprocess gets tokens alone, and its report, its answers and its drops are those of any suite. */
import test from 'ava';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Recognized } from '../../operators/linguist/records.ts';
import type { DatasetRef, ModelRef, ReportRef, StepCall } from '../../schemas/call.ts';
import { openStep } from '../../steps/open.ts';
import { resolve } from '../../steps/resolve.ts';
import { runFolder } from '../../steps/train.ts';
import { bench } from '../support/memory.ts';
import { put, read, record } from '../support/store.ts';

const sentences = [
  { tokens: ['in', 'New', 'York'], tags: ['O', 'B-city', 'I-city'], intent: 'weather' },
  { tokens: ['play', 'it'], tags: ['O', 'O'], intent: 'play' },
  { tokens: ['play', 'long'], tags: ['O', 'O'], intent: 'play' },
  { tokens: ['play', 'it'], tags: ['O'], intent: 'play' },
];
const asked: (readonly string[])[] = [];
const made = await bench({
  reply: () => 'nobody asks',
  tag({ tokens }) {
    asked.push(tokens);
    if (tokens.includes('long')) return { tooLong: 'has 99 tokens' };
    return { tags: tokens.map((word) => (/[A-Z]/.test(word) ? 'I-city' : 'O')), intent: tokens.includes('in') ? 'weather' : 'none' };
  },
});
const { services, context } = made;
const { store } = services;
const step = (verb: StepCall['verb'], operation: string, inputs: StepCall['inputs']): StepCall => ({
  verb,
  operation,
  path: operation,
  label: operation,
  arm: null,
  round: null,
  inputs,
});
async function model(...files: string[]): Promise<ModelRef> {
  const path = await mkdtemp(join(tmpdir(), 'backspin-tag-'));
  for (const file of ['config.json', ...files]) await writeFile(join(path, file), '{}');
  return (await made.perform(step('reduce', 'model:path', { path }))) as ModelRef;
}
const tagger = await model('tagger.json');
const plain = await model();
const labelled = await put(store, sentences.map(record));
const evaluate = (more: object = {}, inputs: object = {}) =>
  step('evaluate', 'eval.tagging', { of: tagger, params: { test: labelled, ...more }, ...inputs });
const sampleOf = (intent: string, tokens: readonly string[]) => {
  const tags = tokens.map(() => 'O');
  return { id: null, language: 'en', intent, tokens, tags, brief: null, raw: tokens.join(' '), rules: { V1: true }, perplexity: null };
};
const samples = await put(
  store,
  Array.from({ length: 300 }, (_, n) => sampleOf('weather', ['in', n % 3 === 0 ? 'Oslo' : `${n}`]))
    .concat(sampleOf('weather', ['play', 'it']), sampleOf('weather', ['play', 'long']), sampleOf('weather', []))
    .map(record),
);
const keyed = async (call: StepCall) => resolve(call, context, await services.registry([]));
const outputOf = async (call: StepCall) => (await store.output((await keyed(call)).stepKey))!;

test.serial('a report, an answer for each sentence, and a reason for each that has none; no server is asked', async (t) => {
  const call = evaluate({ intent: 'weather' });
  const report = (await made.perform(call)) as ReportRef;
  t.deepEqual(report.metrics, {
    intentAccuracy: 1 / 3,
    slotPrecision: 1,
    slotRecall: 1,
    slotF1: 1,
    intentRecall: 1,
    localSlotF1: 1,
    answered: 2 / 3,
    unread: 1,
  });
  const output = await outputOf(call);
  t.like(output, { in: 4, kept: 2, dropped: { 'too-long': 1, invalid: 1 }, requests: 0 });
  const [first] = await read(store, output.answers!);
  t.deepEqual(first!.value, {
    item: sentences[0],
    answer: { tags: ['O', 'I-city', 'I-city'], intent: 'weather' },
    measured: { intent: true, missed: [], extra: [] },
  });
  const drops = (await read(store, output.droppedRecords!)).map(({ value }) => value as { reason: string; evidence: string });
  t.deepEqual(
    drops.map(({ reason }) => reason),
    ['too-long', 'invalid'],
  );
  t.regex(drops[1]!.evidence, /eval\.tagging cannot read it: tags/);
  t.is(made.requests, 0);
});

test.serial('a tagger sees the tokens of the sentences that the suite can read, and none of their labels', async (t) => {
  const known = asked.length;
  const call = evaluate({ intent: 'play' });
  const rows = async () => {
    const resolved = await keyed(call);
    const folder = runFolder(store, resolved.stepKey);
    return (await readFile(join(folder, 'rows.jsonl'), 'utf8')).trimEnd();
  };
  await t.throwsAsync(rows(), { code: 'ENOENT' });
  await made.perform(call);
  t.deepEqual(
    asked.slice(known),
    sentences.slice(0, 3).map(({ tokens }) => tokens),
  );
  await t.throwsAsync(rows(), { code: 'ENOENT' }, 'the run folder is gone once the report is there');
});

test.serial('the dataset is that of the parameter `test`, or the one that the experiment file names; without one it is said', async (t) => {
  const items = await put(store, sentences.slice(0, 1).map(record));
  const chosen = step('evaluate', 'eval.tagging', { of: tagger, params: {}, items });
  t.is(((await made.perform(chosen)) as ReportRef).metrics['answered'], 1);
  await t.throwsAsync(made.perform(step('evaluate', 'eval.tagging', { of: tagger, params: {} })), {
    name: 'ConfigError',
    message: /has no items of its own.*under `data`.*parameter `test`/,
  });
});

test.serial('the tagger, the sentences and the intent are in the key, and it is computed on the training pool', async (t) => {
  const other = await put(store, sentences.slice(1).map(record));
  const calls = [
    evaluate(),
    evaluate({ intent: 'play' }),
    evaluate({ test: other }),
    evaluate({}, { of: await model('tagger.json', 'more.json') }),
  ];
  const steps = await Promise.all(calls.map(keyed));
  t.is(new Set(steps.map(({ stepKey }) => stepKey)).size, 4);
  t.true(steps.every(({ offline, determinism }) => offline && determinism === 'exact'));
});

test.serial('only taggers are evaluated by a suite for taggers, and nothing else is done with one', async (t) => {
  const wrong = { name: 'ConfigError' };
  await t.throwsAsync(openStep(services, evaluate({}, { of: plain }), context), {
    ...wrong,
    message: /eval\.tagging, which is for taggers, and its model is none/,
  });
  const over = labelled;
  const training = { data: over, learningRate: 1, length: { steps: 1 }, batch: 1, maxTokens: 8, lora: null, adapter: 'merge' };
  for (const misused of [
    step('evaluate', 'eval.ifeval', { of: tagger, items: over, params: {} }),
    step('map', 'humpback.backtranslate', {
      over,
      with: { backward: tagger },
      params: { prompt: 'humpback.backward', sampling: { temperature: 0, maxTokens: 8 } },
    }),
    step('reduce', 'std.cluster', { inputs: { of: over, encoder: tagger }, params: { on: 'intent', clusters: 2 } }),
    step('train', 'tagger', { objective: 'tagger', from: tagger, ...training }),
  ])
    await t.throwsAsync(
      openStep(services, misused, context),
      { ...wrong, message: /uses a tagger, which only its evaluation can/ },
      misused.operation,
    );
});

const label = (inputs: object = {}) => step('map', 'linguist.recognize', { over: samples, with: { tagger }, params: {}, ...inputs });
test.serial(
  'a labeler maps records with the labels of their tokens, and drops what it cannot read or the tagger cannot label',
  async (t) => {
    const requests = made.requests;
    const labelled = (await made.perform(label())) as DatasetRef;
    const output = await outputOf(label());
    t.like(output, { in: 303, kept: 300, dropped: { 'v8-intent': 1, 'too-long': 1, invalid: 1 }, requests: 0 });
    t.is(made.requests, requests);
    const rows = await read(store, labelled);
    for (const [n, { value }] of rows.entries()) {
      const { tokens, predicted, rules } = value as Recognized;
      t.is(tokens[1], n % 3 === 0 ? 'Oslo' : `${n}`);
      t.deepEqual(predicted, { intent: 'weather', tags: ['O', n % 3 === 0 ? 'I-city' : 'O'] });
      t.deepEqual(rules, { V1: true, V8: true });
    }
    t.like(await keyed(label()), { offline: true, determinism: 'exact' });
  },
);

test.serial('a labeler takes a tagger of the store alone, and is alone in its map, without limits', async (t) => {
  await t.throwsAsync(openStep(services, label({ with: { tagger: plain } }), context), {
    name: 'ConfigError',
    message: /labels by linguist\.recognize, which is for taggers, and its model is none/,
  });
  for (const limit of [{ until: { kept: 5 } }, { quorum: 0.5 }, { budget: { candidates: 5 } }])
    await t.throwsAsync(openStep(services, label(limit), context), { name: 'CapabilityMissing', message: /computed as one batch/ });
  const chained = { ...label(), operation: 'linguist.recognize>linguist.recognize' };
  await t.throwsAsync(openStep(services, chained, context), {
    message: /uses a tagger, which only its evaluation can, and a map by a labeler alone/,
  });
});
