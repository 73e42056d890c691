import test from 'ava';
import { openingOf, parseRating } from '../../operators/humpback/parse.ts';

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
