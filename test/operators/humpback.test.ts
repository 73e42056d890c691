import { Readable } from 'node:stream';
import test from 'ava';
import {
  answers,
  backtranslate,
  backward,
  curation,
  expectedRating,
  likelihood,
  pairs,
  rating,
  response,
  toInstruction,
  toResponse,
  withinLength,
} from '../../operators/humpback/index.ts';
import { parseRating } from '../../operators/humpback/parse.ts';
import { tags } from '../../operators/humpback/prompts.ts';
import type { Context, Prompt, Sampling, TokenScore } from '../../recipe/index.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { playing } from '../support/playing.ts';

const pair = { instruction: 'How tall is the tower?', response: 'The tower is 96 metres tall.' };
const sampling: Sampling = { temperature: 0, maxTokens: 8 };
const contentOf = (prompt: Prompt) => ('messages' in prompt ? prompt.messages.map(({ content }) => content).join('\n') : '');

const chatting: Prompt = { messages: [{ role: 'user', content: 'rate this' }] };

// ─────────────────────────────────────────── the rating judge ───────────────────────────────────────────

const judging = (attempts = 1) => ({ prompts: { judge: 'humpback.curation' }, sampling, attempts });

test('a rating is kept with the judgement that it was read from', async (t) => {
  const { context } = playing(chatting, ['Good.\nScore: 5']);
  t.deepEqual(await rating.run(pair, context, judging()), { kept: [{ ...pair, score: 5, judgement: 'Good.\nScore: 5' }] });
});

test('a judgement without a rating drops the pair and is its evidence', async (t) => {
  const { context } = playing(chatting, ['Score: 9']);
  t.deepEqual(await rating.run(pair, context, judging()), { dropped: 'no-score', evidence: 'Score: 9' });
});

test('a raw prompt that ends with Score: is answered by a digit', async (t) => {
  const { context, asked } = playing({ text: 'Question: q Answer: a Score:' }, [{ text: ' 4', finish: 'length' }]);
  t.deepEqual(await rating.run(pair, context, judging()), { kept: [{ ...pair, score: 4, judgement: 'Score: 4' }] });
  t.deepEqual(asked, ['complete']);
});

test('as many samples are drawn as allowed, and none after the first rating', async (t) => {
  const patient = playing(chatting, ['hm', 'hm', 'Score: 3', 'Score: 5']);
  t.like(await rating.run(pair, patient.context, judging(4)), { kept: [{ score: 3 }] });
  t.is(patient.asked.length, 3);
  const spent = playing(chatting, ['hm', 'hm', 'Score: 3']);
  t.like(await rating.run(pair, spent.context, judging(2)), { dropped: 'no-score' });
});

// ─────────────────────────────────────────── the scorers ───────────────────────────────────────────

const tokens = (...logprobs: number[]): TokenScore[] => logprobs.map((logprob, id) => ({ id, logprob, entropy: null }));
const scoring = (prompt: Prompt, scores: (continuation: string) => readonly TokenScore[]) => {
  const asked: { prompt: Prompt; continuations: readonly string[] }[] = [];
  const context: Context<string> = {
    ...playing(prompt, []).context,
    score: (_role, prompt, continuations) => {
      asked.push({ prompt, continuations });
      return Promise.resolve(continuations.map(scores));
    },
  };
  return { context, asked };
};

test('the expected rating is the mean over what the judge could say, and is asked for once', async (t) => {
  const chances: Record<string, number> = { ' 1': 0.1, ' 2': 0, ' 3': 0, ' 4': 0.1, ' 5': 0.2 };
  const { context, asked } = scoring(chatting, (continuation) => tokens(0, Math.log(chances[continuation]!)));
  const outcome = await expectedRating.run(pair, context, judging());
  t.true('kept' in outcome && Math.abs(outcome.kept[0]!.score - 3.75) < 1e-9);
  t.deepEqual(
    asked.map(({ continuations }) => continuations),
    [[' 1', ' 2', ' 3', ' 4', ' 5']],
  );
  t.true(asked.every(({ prompt }) => 'messages' in prompt && prompt.prefill === 'Score:'));
});

test('a judge that could say no rating at all gives none', async (t) => {
  const { context } = scoring({ text: 'Score:' }, () => tokens(-Infinity));
  t.like(await expectedRating.run(pair, context, judging()), { dropped: 'no-score' });
});

test('the likelihood of a pair is that of its response, in nats per token', async (t) => {
  const { context, asked } = scoring(chatting, () => tokens(-1, -2, -6));
  const outcome = await likelihood.run(pair, context, { prompts: { respond: 'humpback.response' } });
  t.like(outcome, { kept: [{ score: -3 }] });
  t.deepEqual(asked, [{ prompt: chatting, continuations: [pair.response] }]);
});

// ─────────────────────────────────────────── generation and length ───────────────────────────────────────────

const asking = { prompt: 'humpback.backward', sampling };

test('an instruction is trimmed and its response is the segment, untouched', async (t) => {
  const { context } = playing(chatting, ['  How tall is it?\n']);
  t.deepEqual(await backtranslate.run({ text: ' 96 metres. ' }, context, asking), {
    kept: [{ instruction: 'How tall is it?', response: ' 96 metres. ' }],
  });
});

test('an instruction that was cut off, or is empty, drops its segment', async (t) => {
  const cut = playing(chatting, [{ text: 'How tall is the', finish: 'length' }]);
  t.deepEqual(await backtranslate.run({ text: 'y' }, cut.context, asking), { dropped: 'truncated', evidence: 'How tall is the' });
  const empty = playing(chatting, [' \n']);
  t.like(await backtranslate.run({ text: 'y' }, empty.context, asking), { dropped: 'empty' });
});

test('instructions of min to max characters are kept, both included', async (t) => {
  const params = { instructionChars: { min: 3, max: 5 } };
  const outcome = async (instruction: string) => {
    const outcome = await withinLength.run({ instruction, response: 'y', score: 5, judgement: '' }, playing(chatting, []).context, params);
    return 'kept' in outcome ? 'kept' : outcome.dropped;
  };
  t.deepEqual(await Promise.all(['ab', 'abc', 'abcde', 'abcdef'].map(outcome)), ['short-instruction', 'kept', 'kept', 'long-instruction']);
});

test('lengths count characters of any plane once, and for the least length wide ones twice, so that short Chinese questions are kept', async (t) => {
  const { instructionChars } = recipeSchemas.humpback!.parameters.parse({}) as { instructionChars: { min: number; max: number } };
  const outcome = async (instruction: string, given = instructionChars) => {
    const judged = { instruction, response: 'y', score: 5, judgement: '' };
    const outcome = await withinLength.run(judged, playing(chatting, []).context, { instructionChars: given });
    return 'kept' in outcome ? 'kept' : outcome.dropped;
  };
  for (const kept of [
    '如何煮米饭？',
    '日本の首都はどこ？',
    '한국의 수도는?',
    '好'.repeat(instructionChars.max),
    '😀'.repeat(instructionChars.max),
  ])
    t.is(await outcome(kept), 'kept', kept);
  for (const short of ['好吗？', 'Why is it', '😀😀😀😀😀😀']) t.is(await outcome(short), 'short-instruction', short);
  t.is(await outcome('😀'.repeat(6), { min: 1, max: 5 }), 'long-instruction');
  const rows = [{ instruction: '😀', response: '😀😀' }].map((value) => ({ id: '', from: [], value }));
  t.like(await pairs.measure(Object.assign(Readable.from(rows), { rows: 1 }), {}), { instructionChars: 1, responseChars: 2 });
});

// ─────────────────────────────────────────── prompts and templates ───────────────────────────────────────────

test('the backward model is asked with the very turns that it is trained with', (t) => {
  const { messages } = toInstruction.render(pair);
  t.deepEqual(backward.render({ text: pair.response }), { messages: messages.slice(0, -1) });
  t.deepEqual(messages.at(-1), { role: 'assistant', content: pair.instruction });
  t.is(backward.template, 'humpback.toInstruction');
});

test('each part has its own tag in training, both stand together at inference, replayed rows have none', (t) => {
  const turn = (part: 'seed' | 'augmented' | 'replay') => toResponse.render({ ...pair, part }).messages;
  const has = (content: string) => [content.includes(tags.seed), content.includes(tags.augmented)];
  t.deepEqual(has(turn('seed')[0]!.content), [true, false]);
  t.deepEqual(has(turn('augmented')[0]!.content), [false, true]);
  t.deepEqual(turn('replay')[0], { role: 'user', content: pair.instruction });
  t.deepEqual(has(contentOf(response.render(pair))), [true, true]);
  for (const part of ['seed', 'augmented', 'replay'] as const)
    t.deepEqual(turn(part).at(-1), { role: 'assistant', content: pair.response });
});

test('the judge sees the instruction before the response, five points, and the form of its last line', (t) => {
  const content = contentOf(curation.render(pair));
  t.true(content.indexOf(pair.instruction) < content.indexOf(pair.response));
  for (const point of [1, 2, 3, 4, 5]) t.regex(content, new RegExp(`^${point}: `, 'm'));
  t.regex(content, /"Score: <rating>"/);
  t.is(parseRating(content), undefined);
});

// ─────────────────────────────────────────── suites ───────────────────────────────────────────

test('answers that were cut off or empty count as not given', (t) => {
  const item = { instruction: 'x' };
  const given = [
    { item, answer: { response: 'abcd' } },
    { item, answer: { response: 'ab' } },
    { item, answer: undefined },
    { item, answer: undefined },
  ];
  t.deepEqual(answers.measure(given as never, {} as never), { answered: 0.5, responseChars: 3 });
});

test('pairs are counted, measured, and caught copying', async (t) => {
  const rows = [pair, { instruction: 'tower', response: 'A tower.' }].map((value, i) => ({ id: String(i), from: [], value }));
  const of = (async function* () {
    yield* rows;
  })();
  t.deepEqual(await pairs.measure(Object.assign(of, { rows: rows.length }), {}), {
    rows: 2,
    instructionChars: 13.5,
    responseChars: 18,
    copied: 0.5,
  });
});
