/** One record that does not fit never stops a step: it is dropped with its reason, and the others are not. */
import test from 'ava';
import { join } from 'node:path';
import { originsOf } from '../../steps/origins.ts';
import { resolve } from '../../steps/resolve.ts';
import { moduleDigest } from '../../steps/registry.ts';
import type { Message } from '../../recipe/api.ts';
import type { StepCall, DatasetRef } from '../../schemas/call.ts';
import type { Output } from '../../schemas/store.ts';
import { temporary } from '../cli/cli.ts';
import { put } from '../bad-input/case.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, put as putRecords, read, record } from '../support/store.ts';

const odd = join(import.meta.dirname, '../support/odd.ts');
const made = await bench(
  { reply: ({ prompt }) => ((prompt as { messages: readonly Message[] }).messages[0]!.content === 'mute' ? 'silence' : 'I speak') },
  { modules: [{ path: odd, digest: await moduleDigest(odd) }] },
);
const { store } = made.services;
const model = await store.putModel(put(temporary(), { 'config.json': '{}', 'model.safetensors': 'weights' }), aboutModel);

const call = (verb: StepCall['verb'], operation: string, inputs: StepCall['inputs']): StepCall => ({
  verb,
  operation,
  path: operation,
  label: operation,
  arm: null,
  round: null,
  inputs,
});
async function done(asked: StepCall): Promise<Output> {
  await made.perform(asked);
  const { stepKey } = await resolve(asked, made.context, await made.services.registry(made.context.modules));
  return (await store.output(stepKey))!;
}
const mapped = async (what: string, values: readonly unknown[], more: object = {}) =>
  done(call('map', what, { over: await putRecords(store, values.map(record)), ...more }));
const evidence = async ({ droppedRecords }: Output) =>
  (await read(store, droppedRecords!)).map(({ value }) => (value as { evidence: string }).evidence);

/** What data.md 4 had: an empty text among sound ones. */
const texts = [{ text: 'Rivers begin in the mountains.' }, { text: '' }, { text: 'Seas are salty.' }];

test('a record that the schema of an operator refuses is dropped as invalid, with the sentence of the schema', async (t) => {
  const output = await mapped('odd.copy', texts);
  t.like(output, { in: 3, kept: 2, dropped: { invalid: 1 } });
  t.deepEqual(await evidence(output), ['odd.copy cannot read it: text is ""; at least 1 characters are needed']);
});

test('what the schema of its own operator refuses, or nothing can store, is dropped and no other record with it', async (t) => {
  const output = await mapped('odd.copy>odd.echo', [{ text: 'sound' }, { text: 'x' }, { text: 'endless' }]);
  t.like(output, { in: 3, kept: 1, dropped: { invalid: 2 } });
  const [refused, endless] = await evidence(output);
  t.is(refused, 'odd.echo gave what its own schema refuses: text is "x"; at least 2 characters are needed');
  t.regex(endless!, /^odd\.echo gave what nothing can store: Infinity .*cannot be stored as JSON/);
});

test('a record on which an operator throws, before or behind its calls, is dropped with what it threw', async (t) => {
  const output = await mapped('odd.third', [{ text: 'a b c' }, { text: 'a' }, { text: 'none' }]);
  t.like(output, { in: 3, kept: 1, dropped: { error: 2 } });
  const [threw, kept] = await evidence(output);
  t.regex(threw!, /^odd\.third threw TypeError: /);
  t.regex(kept!, /it kept no record and dropped none: use drop\(reason\)/);
  const asked = await mapped('odd.ask', [{ text: 'speak' }, { text: 'mute' }], { with: { speaker: model } });
  t.like(asked, { kept: 1, dropped: { error: 1 }, requests: 2 });
});

test('a record that takes more calls, or gives more records, than its operator says is dropped: a plan that counts by it holds', async (t) => {
  const texts = [{ text: 'one' }, { text: 'one two' }];
  const asked = await mapped('odd.wordy', texts, { with: { speaker: model } });
  t.like(asked, { kept: 1, dropped: { error: 1 }, requests: 2 });
  t.regex((await evidence(asked))[0]!, /it makes more calls for one record than 1, which its `calls` gives as the most/);
  const kept = await mapped('odd.cut', texts);
  t.like(kept, { kept: 1, dropped: { error: 1 } });
  t.regex((await evidence(kept))[0]!, /it kept 2 records of one, and its `maxRows` gives 1 as the most/);
});

test('an operator that throws on all of its records stands at attention, and runs anew when it is mended', async (t) => {
  const over = await putRecords(store, [record({ text: 'a' }), record({ text: 'b' })]);
  const asked = call('map', 'odd.third', { over });
  await t.throwsAsync(made.perform(asked), { message: /on each of its 2 records odd\.third threw TypeError: .*Mend the operator/ });
  await t.throwsAsync(made.perform(asked), { message: /on each of its 2 records/ });
});

test('an item of a suite that does not fit is an item without an answer, whose reason is counted', async (t) => {
  const output = await done(call('evaluate', 'odd.quiz', { of: model }));
  t.like(output, { in: 3, kept: 2, dropped: { invalid: 1 } });
  t.like(output.result, { metrics: { answered: 2 } });
  t.deepEqual(await evidence(output), ['odd.quiz cannot read it: text is ""; at least 1 characters are needed']);
});

test('a record that a batch cannot read is dropped by it as by a server, and the others are scored', async (t) => {
  const pairs = [{ instruction: 'Why?', response: 'Because.' }, { instruction: 'Why not?' }];
  const scoring = await bench({ reply: () => '', weigh: () => ({ ids: [1], logprobs: [-1], entropies: [1] }) });
  const over: DatasetRef = await putRecords(
    scoring.services.store,
    [...pairs, ...Array.from({ length: 998 }, (_, n) => ({ instruction: `${n}?`, response: `${n}.` }))].map(record),
  );
  const forward = await scoring.services.store.putModel(put(temporary(), { 'config.json': '{}' }), aboutModel);
  const asked = call('map', 'main.agree', { over, with: { forward }, params: { prompt: 'main.respond' } });
  t.like(await scoring.perform(asked), { rows: 999 });
  const { stepKey, offline } = await resolve(asked, scoring.context, await scoring.services.registry([]));
  t.true(offline);
  t.deepEqual((await scoring.services.store.output(stepKey))!.dropped, { invalid: 1 });
});

test('a record that is dropped, however many steps after its source, can be traced to its file and line', async (t) => {
  const lines = texts.map((value) => `${JSON.stringify(value)}\n`).join('');
  const folder = put(temporary(), { 'data/texts.jsonl': lines, 'data/more.jsonl': '\n{"text": "Lakes are deep."}\n' });
  const params = { path: ['data/texts.jsonl', 'data/more.jsonl'] };
  const source = await done(call('reduce', 'source:std.table', { params, folder }));
  t.like(source, { kept: 4, dropped: {} });
  const mixed = await done(call('reduce', 'std.mix', { inputs: { corpus: source.result }, params: {} }));
  const copied = await done(call('map', 'odd.copy', { over: mixed.result }));
  t.like(copied, { kept: 3, dropped: { invalid: 1 } });
  const gone = (await read(store, copied.droppedRecords!)).map(({ value }) => (value as { id: string }).id);
  const kept = (await read(store, source.result as DatasetRef)).map(({ id }) => id);
  const origins = await originsOf(store, [source, mixed, copied], [...gone, ...kept]);
  t.deepEqual(
    gone.map((id) => origins.get(id)),
    ['data/texts.jsonl:2'],
  );
  t.deepEqual(
    kept.map((id) => origins.get(id)),
    ['data/texts.jsonl:1', 'data/texts.jsonl:2', 'data/texts.jsonl:3', 'data/more.jsonl:2'],
  );
});
