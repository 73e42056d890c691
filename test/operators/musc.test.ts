import test from 'ava';
import { touchedOf } from '../../operators/musc/corrupt.ts';
import { capTopics } from '../../operators/musc/index.ts';
import { parseInstruction, parseNewConstraint, parseParts, parseTask, parseVerdict } from '../../operators/musc/parse.ts';
import { demo, parseDemos, sameText } from '../../operators/musc/records.ts';
import { ratioWeight, weightsOf } from '../../operators/musc/weigh.ts';
import { weighing } from '../../schemas/recipes/musc.ts';
import { rec, reduce, rows } from '../support/reduce.ts';

test('6, 7 the weight of a token by the two log-probabilities of it', (t) => {
  const rules = weighing.parse({});
  const weight = (own: number, other: number) => ratioWeight(own, other, rules);
  for (const [own, other, is] of [
    [-1, -1, 0.6],
    [-0.5, -1, 1.2],
    [-0.1, -1, 2],
    [-2, -0.5, 0.15],
    [-1, 0, 0],
    [0, 0, 1.2],
    [0, -0.3, 2],
  ] as const)
    t.is(weight(own, other), is, `${own} ${other}`);
  for (const [own, other] of [
    [-1, -1.5],
    [-0.7, -0.4],
  ] as const)
    t.true(Math.abs((weight(own, other) / 0.6) * (weight(other, own) / 0.6) - 1) < 1e-12);
});

test('every metric gives the scale where the instructions make no difference, more where they do, and the cap at most', (t) => {
  const same = {
    hash: '',
    ids: [1, 2],
    own: [-1, -1],
    other: [-1, -1],
    ownEntropy: [2, 2],
    otherEntropy: [2, 2],
    kl: [0, 0],
    reverseKl: [0, 0],
  };
  const apart = {
    ...same,
    own: [-0.5, -0.01],
    other: [-1, -3],
    ownEntropy: [1, 0.1],
    otherEntropy: [2, 3],
    kl: [0.5, 9],
    reverseKl: [0.25, 9],
  };
  for (const [metric, is] of [
    ['logprob-ratio', 1.2],
    ['entropy-ratio', 1.2],
    ['kl', 0.9],
    ['bi-kl', 1.05],
    ['pmi', 0.9],
  ] as const) {
    const rules = weighing.parse({ metric });
    t.deepEqual(weightsOf({ ...same, none: [-1, -1] }, rules), [0.6, 0.6], metric);
    const weights = weightsOf({ ...apart, none: [-1, -9] }, rules);
    t.true(Math.abs(weights[0]! - is) < 1e-12, metric);
    t.is(weights[1], 2, metric);
  }
  t.deepEqual(weightsOf({ ...same, none: null }, weighing.parse({ firstToken: 0 })), [0, 0.6]);
  t.deepEqual(
    weightsOf({ ...same, none: [9, -1] }, weighing.parse({ metric: 'pmi' })),
    [0, 0.6],
    'a negative difference weighs nothing at least',
  );
});

test('8 how many constraints are touched: three tenths, a half to the even number, and one at least', (t) => {
  t.deepEqual(
    Array.from({ length: 14 }, (_, n) => touchedOf(n + 2, 0.3)),
    [1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4],
  );
});

test('how a model sets headers, numbers and verdicts off does not count, and words in bold are no headers', (t) => {
  const parts = { constraints: ['a', 'b'], input: null };
  for (const reply of [
    '##1. a\n##2. b\n**Input:** N/A',
    '1. a\n2. b\n\n**Input**: (None)',
    '**Constraints:**\n## 1. a\n## 2. b\nInput: "None"',
    '##1. a\n##2. b\n### Input: none.',
    '##1. a ##2. b **Input**: -',
    '**1.** a\n**2.** b\n__Input:__ none provided',
  ])
    t.deepEqual(parseParts(reply), parts, reply);
  t.deepEqual(parseParts('1. a, or 2. c\n2. b\n**Input:** N/A is the text.'), {
    constraints: ['a, or 2. c', 'b'],
    input: 'N/A is the text.',
  });
  t.deepEqual(parseTask('##1. a\n##2. b\n**Task**: Do **a** and b.'), { constraints: ['a', 'b'], instruction: 'Do **a** and b.' });
  for (const reply of ['Do **this**', '**Note** that', 'Use the headers **Start:** and **End**:']) t.is(parseInstruction(reply), reply);
  for (const reply of ['**Instruction:** Do it.', '**Instruction**: Do it.', '### Instruction: Do it.'])
    t.is(parseInstruction(reply), 'Do it.', reply);
  for (const reply of ['**New Constraint:** Be long.', 'New Constraint: Be long.', '### New constraint：Be long.'])
    t.is(parseNewConstraint(reply), 'Be long.', reply);
  for (const reply of ['**Answer**: Yes', '{"answer": "yes"}', 'Answer：Ｙｅｓ', '`Answer: Yes`', 'Answer: <Yes>', 'Answer:\n\n**Yes**.'])
    t.true(parseVerdict(reply), reply);
  for (const reply of ['Answer: Yes/No', 'Answer: Yes or No', 'The answer is yes']) t.is(parseVerdict(reply), undefined, reply);
});

test('9 what a model must have said to be understood', (t) => {
  t.deepEqual(parseParts('\n##1. a\n##2. b\n**Input**: None'), { constraints: ['a', 'b'], input: null });
  t.deepEqual(parseParts('##1. a\n##2. b\nand more\n**Input**: Some\ntext'), { constraints: ['a', 'b\nand more'], input: 'Some\ntext' });
  for (const reply of [
    '##1. a\n**Input**: None',
    '##1. a\n##2. b',
    'Well: ##1. a ##2. b **Input**: None',
    '##1. a ##2. **Input**: None',
    '',
  ])
    t.is(parseParts(reply), undefined, reply);
  t.is(parseInstruction(' Write a **very short** text. '), 'Write a **very short** text.');
  for (const reply of ['**Constraints**: x', 'Do it.\n**Input:** x', ' \n']) t.is(parseInstruction(reply), undefined, reply);
  t.deepEqual(parseTask('##1. a\n##2. b\n**Task:** Do a and b.'), { constraints: ['a', 'b'], instruction: 'Do a and b.' });
  for (const reply of ['##1. a\n**Task:** Do a.', '##1. a\n##2. b', '##1. a ##2. b **Task:** x **Task:** y', '##1. a ##2. b **Task:**'])
    t.is(parseTask(reply), undefined, reply);
  t.is(parseNewConstraint('**New Constraint**: Be long.'), 'Be long.');
  for (const reply of ['Be long.', '**New Constraint**:', 'So: **New Constraint**: x']) t.is(parseNewConstraint(reply), undefined, reply);
  t.deepEqual(['It does.\nAnswer: Yes', '**Answer:** No.', 'Answer: Yes, no: Answer: no', 'Yes', 'Answer: maybe'].map(parseVerdict), [
    true,
    false,
    false,
    undefined,
    undefined,
  ]);
});

test('a blank text of an instruction is none, however it was said; where it is not text the fault is named', (t) => {
  for (const input of ['', ' \n', null, undefined]) t.is(demo.parse({ instruction: 'i', constraints: ['c'], input }).input, null);
  t.is(demo.parse({ instruction: 'i', constraints: ['c'], input: ' a text' }).input, ' a text');
  const sound = { instruction: 'i', constraints: ['c'], input: null };
  t.throws(() => parseDemos([sound, { ...sound, input: 5 }]), { name: 'SchemaError', message: /Demonstration 2 .*input is 5/ });
});

test('two instructions that differ in no more than spaces and case are the same', (t) => {
  t.true(sameText('Write a poem.\n\nUse ten words.', ' write a  poem. Use ten words.'));
  t.false(sameText('Write a poem.', 'Write a poem. Use ten words.'));
});

test('of instructions that open alike and ask for a recipe, a story or a trip, so many are kept as they came', async (t) => {
  const instructions = [
    'Write a long story of sea.',
    'Write a story.',
    'write a sad story',
    'Tell a story.',
    'Write a list.',
    'Plan a travel.',
  ];
  const { kept, dropped } = await reduce(capTopics, { of: rows(instructions.map((instruction) => rec({ instruction }))) }, { perTopic: 2 });
  t.deepEqual(
    kept.map(({ value }) => value['instruction']),
    instructions.toSpliced(2, 1),
  );
  t.like(dropped, [{ reason: 'topic', evidence: 'write a story' }]);
});
