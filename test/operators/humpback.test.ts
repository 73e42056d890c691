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
import { openingOf, parseRating } from '../../operators/humpback/parse.ts';
import { tags } from '../../operators/humpback/prompts.ts';
import type { Context, Prompt, Sampling, TokenScore } from '../../recipe/index.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { playing } from '../support/playing.ts';

const pair = { instruction: 'How tall is the tower?', response: 'The tower is 96 metres tall.' };
const sampling: Sampling = { temperature: 0, maxTokens: 8 };
const contentOf = (prompt: Prompt) => ('messages' in prompt ? prompt.messages.map(({ content }) => content).join('\n') : '');

const chatting: Prompt = { messages: [{ role: 'user', content: 'rate this' }] };

// ─────────────────────────────────────────── the parser ───────────────────────────────────────────

const rated: readonly (readonly [judgement: string, score: number])[] = [
  ['Score: 5', 5],
  ['It is clear and complete.\nScore: 4', 4],
  ['score:3', 3],
  ['SCORE:  2  \n', 2],
  ['Score: 4.', 4],
  ['Score: 4.5', 4.5],
  ['Score: 5.0', 5],
  ['First I thought Score: 2. On reflection:\nScore: 5', 5],
  ['Good. Score: 4', 4],
  ['Therefore, Score: 4', 4],
  ['Final score: 4', 4],
  ['Rating: 4', 4],
];
/** The same, set off in some way. */
const decorated: readonly (readonly [how: string, judgements: readonly string[]])[] = [
  [
    'markup',
    [
      '**Score: 4**',
      '**Score:** 4',
      '**Score**: 4',
      'Score: **4**',
      '__Score: 4__',
      '***Score: 4***',
      '### Score: 4',
      '`Score: 4`',
      '> Score: 4',
      '- Score: 4',
      '1. Clear.\n2. Score: 4',
      '```\nScore: 4\n```',
      '| Score | 4 |',
      '## Score\n\n4',
      '**Score:**\n4',
      'Score: 4\n---',

      '<b>Score: 4</b>',
      '<p>Good.</p><p>Score: 4</p>',
      '<score>4</score>',
      'Score: \\boxed{4}',
      '\\boxed{Score: 4}',
      '$Score: 4$',
      'Score: 4 ⭐⭐⭐⭐',
    ],
  ],
  ['quotes', ['"Score: 4"', '“Score: 4”', "'Score: 4'", "Score: '4'", '『Score：４』']],
  ['brackets', ['Score: <4>', 'Score: [4]', 'Score: (4)', '[[5]]\nScore: [[4]]', '(Score: 4)', '[Score: 4]', '<Score: 4>']],
  [
    'JSON',
    [
      '{"score": 4}',
      '{"score": "4/5"}',
      '{"reason": "It has 3 points.", "score": 4}',
      '{"score": 4, "reason": "It lists 3 things"}',
      "{'score': 4, 'reason': 'fine'}",
      '```json\n{\n  "reason": "has 3 points",\n  "score": 4\n}\n```',
      'My rating:\n{"rating": 4, "reason": "a {b} c"}',
    ],
  ],
  ['full width', ['Score：４', 'Score： ４／５', 'Score: 4。', 'Score：4分', 'Score:\u3000４']],
  [
    'its scale',
    [
      'Score: 4/5',
      'Score: 4 / 5',
      'Score: 4 out of 5',
      'Score: 4 out of five.',
      'Score: 4 (out of 5)',
      'Score: <4/5>',
      'Score: 4/5 points',
      'Score: 4 stars',
      'Score (1-5): 4',
    ],
  ],
  ['blanks', ['Score : 4', 'Score:4', 'Score = 4', 'Score:\u00a04', 'Score:\u200b4', '\ufeffScore: 4']],
  [
    'leaked end tokens',
    [
      'Score: 4</s>',
      'Score: 4<|im_end|>',
      'Score: 4 <|eot_id|>\n',
      'Score: 4.</s></s>',
      'Score: 4<｜end▁of▁sentence｜>',
      'Score: 4<end_of_turn>\n<start_of_turn>user\nmore',
      'Score: 4<|im_end|>\n<|im_start|>user\nmore',
    ],
  ],
  [
    'the reason behind it',
    [
      'Score: 4\n\nReason: it is complete.',
      'Score: 4. It is complete.',
      'Score: 4 - complete and clear',
      'Score: 4 (good)',
      'Score: 4 — it lacks a source',
      '**Score:** 4/5\n**Reason:** It names 2 of 3.',
      'Clear.\nScore: 4\nLet me know if you need more!',
    ],
  ],
  ['a thought before it', ['<think>Score: 2</think>\nScore: 4', 'thinking Score: 3</think>\n\nScore: 4']],
];
const unread: readonly (readonly [what: string, judgements: readonly string[]])[] = [
  ['nothing said', ['', 'A helpful answer.', 'Score:', 'Score: high', 'Score: five', 'Score: <rating>', '5', '<think>Score: 4']],
  [
    'another scale',
    [
      'Score: 0',
      'Score: 6',
      'Score: 8',
      'Score: 91',
      'Score: 51',
      'Score: 1986',
      'Score: 5.5',
      'Score: -5',
      'Score: 4/10',
      'Score: 8/10',
      'Score: 4 out of 10',
      'Score: 4%',
      'Score (out of 10): 4',
      '{"score": 7}',
      '{"score": 4, "max_score": 10}',
      'Score: 4/50',
    ],
  ],
  [
    'a number within a sentence',
    [
      'I would give it a 5',
      'The score is 5',
      'Score: 5 because it helps.',
      'I would not give Score: 5',
      'A Score: 5 answer would cite sources.',
      'If it were complete, Score: 5',
      'Score: 5, if it had sources',
      'Score: 5 means perfect.',
      'First I thought\nScore: 2\nbut then I saw an error',
    ],
  ],
  [
    'a choice',
    [
      'I waver between Score: 4 and Score: 5',
      'Score: 4 or 5',
      'Score: 4-5',
      'Score: 4 - 5',
      'Score: 4 to 5',
      'Score: 4, 5',
      'Score: 4 (or 5)',
      'Score: 4, Score: 5',
      'Score: 4. Score: 5.',
      'Score: 4\nScore: 5',
      'Score: [1-5]',
      'Score: 1/2/3/4/5',
      'Score: 1 | 2 | 3 | 4 | 5',
      '{"score": [4, 5]}',
      '- Score: 5 (perfect)\n- Score: 4 (good)\n- Score: 1 (bad)',
    ],
  ],
  [
    'something near a number',
    [
      'Score: 4½',
      'Score: ⅘',
      'Score: 5²',
      'Score: ~4',
      'Score: not 5',
      'Score: 5?',
      'Score: 5+',
      'Score: 4-ish',
      'Score: 4.5.2',
      '~~Score: 4~~',
    ],
  ],
  [
    'what was not asked for',
    ['Underscore: 5', 'Accuracy score: 5', 'Score: 5\n\nInstruction: another one', 'Score: 5\nInstruction: x\nAnswer: y\nScore: 2'],
  ],
];
for (const [judgement, score] of rated)
  test(`${JSON.stringify(judgement)} is a rating of ${score}`, (t) => t.is(parseRating(judgement), score));
for (const [how, judgements] of decorated)
  test(`a rating is read whatever it is set off with: ${how}`, (t) => {
    for (const judgement of judgements) t.is(parseRating(judgement), 4, judgement);
  });
for (const [what, judgements] of unread)
  test(`no rating is made up from ${what}`, (t) => {
    for (const judgement of judgements) t.is(parseRating(judgement), undefined, judgement);
  });

test('reading a judgement takes time in proportion to its length, whatever it holds', (t) => {
  for (const part of [' ', 'Score: ', 'Score' + ' '.repeat(50), '{', '<', '(', '- ', 'the ', '. ', '</think>', '<think>', 'a <think>'])
    t.notThrows(() => parseRating(part.repeat(20_000) + 'x'), part);
});

test('the end of a prompt opens the reply, whatever stands before', (t) => {
  t.is(openingOf({ text: 'Score: 5\nQuestion: q Answer: a Score:' }), 'Score:');
  t.is(openingOf({ text: 'Score: 5 Question: q' }), '');
  t.is(openingOf({ messages: [{ role: 'user', content: 'end with Score:' }] }), '');
  t.is(openingOf({ messages: [], prefill: 'Score:' }), 'Score:');
});

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
