/** A scorer over a server and as one batch: the same records come out where the numbers are the same; and what can be no batch is said. */
import test from 'ava';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStep } from '../../steps/open.ts';
import { resolve } from '../../steps/resolve.ts';
import { Rejected, TooLong } from '../../inference/client.ts';
import type { WeightedPair } from '../../operators/musc/records.ts';
import type { StepCall, DatasetRef, ModelRef } from '../../schemas/call.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { bench } from '../support/memory.ts';

const lot = (text: string) => Number.parseInt(sha256(text).slice(0, 8), 16) / 2 ** 32;
const tokensOf = (text: string) => text.split(' ').map((word) => ({ id: word.length, logprob: -lot(word) }));
const made = await bench({
  reply: () => '',
  score({ continuation }) {
    if (lot(continuation) < 0.01) throw new TooLong('it is too long');
    if (lot(continuation) > 0.99) throw new Rejected(400, 'it is refused');
    return tokensOf(continuation).map((token) => ({ ...token, entropy: null }));
  },
  weigh({ continuation }) {
    if (lot(continuation) < 0.01) return { tooLong: 'it is too long' };
    if (lot(continuation) > 0.99) return { rejected: 'it is refused' };
    const tokens = tokensOf(continuation);
    return { ids: tokens.map(({ id }) => id), logprobs: tokens.map(({ logprob }) => logprob), entropies: tokens.map(() => 1) };
  },
});
const { services, context } = made;

async function pairs(count: number): Promise<DatasetRef> {
  const path = join(await mkdtemp(join(tmpdir(), 'backspin-score-')), 'pairs.jsonl');
  const lines = Array.from({ length: count }, (_, n) => JSON.stringify({ instruction: `Why ${n}?`, response: `Because ${n} is so.` }));
  await writeFile(path, lines.join('\n'));
  const inputs = { params: { path }, folder: '/' };
  return (await made.perform(step('reduce', 'source:std.table', inputs))) as DatasetRef;
}
async function folderOf(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'backspin-score-'));
  await writeFile(join(path, 'config.json'), '{}');
  return path;
}
const model = async () => (await made.perform(step('reduce', 'model:path', { path: await folderOf() }))) as ModelRef;
const step = (verb: StepCall['verb'], operation: string, inputs: StepCall['inputs']): StepCall => ({
  verb,
  operation,
  path: operation,
  label: operation,
  arm: null,
  round: null,
  inputs,
});
const forward = await model();
const agree = (over: DatasetRef, more: object = {}) =>
  step('map', 'main.agree', { over, with: { forward }, params: { prompt: 'main.respond' }, ...more });
const keyed = async (call: StepCall) => resolve(call, context, await services.registry([]));

test.serial('the same records are kept and dropped, with the same numbers, over a server and as a batch', async (t) => {
  const over = await pairs(1100);
  const [batch, asked] = [agree(over), agree(over, { quorum: 1 })];
  t.deepEqual([(await keyed(batch)).offline, (await keyed(asked)).offline], [true, false]);
  const before = made.requests;
  const one = await made.perform(batch);
  t.is(made.requests, before, 'no server is asked');
  const other = await made.perform(asked);
  t.is((one as DatasetRef).digest, (other as DatasetRef).digest);
  const outputs = await Promise.all([batch, asked].map(async (call) => (await services.store.output((await keyed(call)).stepKey))!));
  const [first, second] = outputs.map(({ in: of, kept, dropped, droppedRecords }) => [of, kept, dropped, droppedRecords?.digest]);
  t.deepEqual(first, second);
  t.deepEqual(Object.keys(outputs[0]!.dropped).toSorted(), ['rejected', 'too-long']);
});

test.serial('few records are asked of a server; a batch has another key, so neither is taken for the other', async (t) => {
  const few = agree(await pairs(999));
  t.false((await keyed(few)).offline);
  const many = await pairs(1000);
  t.true((await keyed(agree(many))).offline);
  t.not((await keyed(agree(many))).stepKey, (await keyed(agree(many, { budget: { tokens: 1e9 } }))).stepKey);
});

test.serial(
  'what no server gives is a batch of any size; in a chain, with a budget or of an external model it cannot be had',
  async (t) => {
    const over = await pairs(3);
    const measure = (what: string, more: object = {}) =>
      step('map', what, {
        over,
        with: { self: forward },
        params: { prompts: { respond: 'musc.instruct' }, unconditional: false, weighing: {} },
        ...more,
      });
    t.true((await keyed(measure('musc.measureConfidence'))).offline);
    for (const call of [measure('musc.measureConfidence>musc.weigh'), measure('musc.measureConfidence', { budget: { candidates: 2 } })])
      await t.throwsAsync(openStep(services, call, context), { message: /musc\.measureConfidence for what no server gives/ });
  },
);

test.serial('a text with U+2028 and U+2029 in it goes through the weighing of MuSC letter by letter', async (t) => {
  const path = join(await mkdtemp(join(tmpdir(), 'backspin-score-')), 'parts.jsonl');
  const one = { instruction: 'Name a river.\u2028Use one word.', constraints: ['Name a river.', 'Use one word.\u2028'] };
  const other = { instruction: 'Name a sea. Use one word.', constraints: ['Name a sea.\u2029', 'Use one word.'] };
  await writeFile(path, `${JSON.stringify(one)}\n${JSON.stringify(other)}\n`);
  const speaking = await bench({
    reply: ({ seed }) => `A river\u2028or ${seed} of them.`,
    weigh({ continuation }) {
      const ids = Array.from(continuation, (letter) => letter.codePointAt(0)!);
      const each = ids.map(() => -1);
      return { ids, logprobs: each, entropies: each, second: { logprobs: each, entropies: each, kl: each, reverseKl: each }, hash: 'h' };
    },
  });
  const self = (await speaking.perform(step('reduce', 'model:path', { path: await folderOf() }))) as ModelRef;
  const sampling = { temperature: 0.5, maxTokens: 8 };
  const noise = { ratio: 0.3, kinds: { delete: 1, substitute: 0, negate: 0 } };
  const steps = [
    ['musc.corrupt>musc.join', { params: { noise } }],
    ['musc.respond', { with: { self }, params: { prompts: { respond: 'musc.instruct' }, sampling } }],
    ['musc.measureConfidence', { with: { self }, params: { prompts: { respond: 'musc.instruct' }, unconditional: false } }],
    ['musc.weigh', { params: { weighing: { metric: 'logprob-ratio', scale: 0.6, cap: 2, bothZero: 1.2, firstToken: null } } }],
  ] as const;
  let over = (await speaking.perform(step('reduce', 'source:std.table', { params: { path }, folder: '/' }))) as DatasetRef;
  for (const [what, inputs] of steps) over = (await speaking.perform(step('map', what, { over, ...inputs }))) as DatasetRef;
  const weighed: WeightedPair[] = [];
  for await (const { value } of speaking.services.store.read(over)) weighed.push(value as WeightedPair);
  t.deepEqual(
    weighed.map(({ instruction }) => instruction),
    ['Name a river. Use one word.\u2028', 'Name a sea.\u2029 Use one word.'],
  );
  for (const { chosen } of weighed) t.is(String.fromCodePoint(...chosen.ids), chosen.text);
});
