/** The acceptance facts of MuSC (those of its loss are in trainer/tests), and what the recipe lets one choose. */
import test from 'ava';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tableOf } from '../../cli/plan.ts';
import { touchedOf } from '../../operators/musc/corrupt.ts';
import { capTopics } from '../../operators/musc/index.ts';
import { instructionIn, newConstraintIn, partsIn, taskIn, verdictIn } from '../../operators/musc/parse.ts';
import { demo, demosIn, same } from '../../operators/musc/records.ts';
import type { Contrast, Noised, Scored, Taken, Twins, WeightedPair } from '../../operators/musc/records.ts';
import { ratioWeight, weightsOf } from '../../operators/musc/weigh.ts';
import type { WeightedPreference } from '../../recipe/index.ts';
import type { ModelRef } from '../../schemas/call.ts';
import { weighing } from '../../schemas/recipes/musc.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl, stage, type Asked, type Ran } from '../support/recipe.ts';
import { rec, reduce, rows } from '../support/reduce.ts';

const lot = (text: string, sides: number) => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);
const list = (items: readonly string[]) => items.map((item, n) => `##${n + 1}. ${item}`).join('\n');
const itemsIn = (text: string) => [...text.matchAll(/##\d+\. (.*)/g)].map(([, item]) => item!);

/** Four sentences, the first of which is the task. */
const sentencesOf = (n: number) => [`Write text ${n}.`, `Use word ${n}.`, `Avoid word ${n}.`, `End with word ${n}.`];
const queries = numbers(24).map((n) => ({ instruction: sentencesOf(n).join(' ') }));
const parts = numbers(24).map((n) => ({ instruction: sentencesOf(n).join(' '), constraints: sentencesOf(n) }));
const demos = numbers(40).map((n) => ({
  instruction: `Demo ${n}`,
  input: n % 2 ? `Text ${n}` : null,
  constraints: ['task', `constraint ${'long '.repeat(n)}`],
}));

/** One model does everything; which of it, its prompt tells. */
function says(content: string): string {
  const last = content.split('\n\n').at(-1)!;
  if (content.endsWith('**Constraints**:')) {
    const sentences = last.replace(/\n\*\*Constraints\*\*:$/, '').split(/(?<=\.) /);
    if (sentences[0] === 'Write text 3.') return `\n${list(sentences.slice(0, 1))}\n**Input**: None`;
    if (sentences[0] === 'Write text 5.') return `\n${list(sentences)}`;
    return `\n${list(sentences)}\n**Input**: ${sentences[0] === 'Write text 7.' ? 'a text' : 'None'}`;
  }
  if (content.endsWith('**Instruction**:')) {
    const constraints = itemsIn(last);
    if (alike && lot(constraints[0]!, 2) === 0)
      return constraints.length % 2 ? ` ${constraints[0]!}` : ` ${constraints[0]!.toUpperCase()}\n`;
    return constraints[0] === 'Write text 6.' ? '**Input**: that' : ` ${constraints.join(' ')}`;
  }
  if (content.endsWith('**Task:**') && alike)
    return ` Tell a short story of ${
      itemsIn(content)
        .find((item) => item.startsWith('Name '))
        ?.slice(5) ?? 'x.'
    }`;
  if (content.endsWith('**Task:**')) return ` Only ${itemsIn(content.slice(content.lastIndexOf('**Constraints:**'))).join(' ')}`;
  if (content.endsWith('**Constraints:**')) {
    const name = lot(content, 1000);
    return `\n${list(['Tell a tale.', 'Be brief.', `Name ${name}.`])}\n**Task:** Tell a short story of ${name}.`;
  }
  if (content.includes('fully meet')) return ['Answer: Yes', 'It does not.\nAnswer: No', 'Perhaps.'][lot(content, 3)]!;
  if (content.includes('deviates from') && alike && content.includes('Avoid'))
    return `**New Constraint**: ${content.split('\n\n').at(-1)!.toLowerCase()}`;
  if (content.includes('deviates from')) return content.includes('word 9') ? 'Another' : '**New Constraint**: Instead.';
  if (content.includes('Write text 11.')) return 'the same';
  return `Answer to: ${content}${moods && answers++ % 2 ? ', perhaps' : ''}`;
}
/** Whether the model puts the same together of some constraints, whichever are left. */
let alike = false;
/** Whether the model answers in one way and then in another. */
let moods = false;
let answers = 0;
const [OWN, OTHER] = [-0.5, -1];
const made = await stage(
  'musc',
  {
    reply: (_role, _model, content) => says(content),
    weigh({ prompt, continuation, ends, beside, model }) {
      const own = continuation === `Answer to: ${'messages' in prompt ? prompt.messages[0]!.content : ''}`;
      const words = [...continuation.split(' '), ...(ends ? ['end'] : [])];
      const each = (value: number) => words.map(() => value);
      const less = { logprobs: each(own ? OTHER : OWN), entropies: each(2), kl: each(0.5), reverseKl: each(0.25) };
      const more = { ids: words.map((_, n) => n), logprobs: each(own ? OWN : OTHER), entropies: each(1), hash: model.digest };
      return { ...more, ...(beside && { beside: less }) };
    },
  },
  { 'queries.jsonl': jsonl(queries), 'parts.jsonl': jsonl(parts), 'demos.jsonl': jsonl(demos), 'policy/': '{}' },
);
const source = (path: string) => ({ source: 'std.jsonl', params: { path }, folder: made.folder });
const run = (parameters: object = {}, data: readonly string[] = ['parts']) =>
  made.run({
    parameters: { minimum: 1, recombine: data.includes('queries') ? 'model' : 'joined', ...parameters },
    data: Object.fromEntries(
      data.map((name, at) => [data.includes('queries') ? ['queries', 'demos'][at]! : 'parts', source(`${name}.jsonl`)]),
    ),
    models: { policy: { path: join(made.folder, 'policy') } },
  });
const records = async <T>(of: Ran, path: string) => (await made.rows<T>(of.step(path).data)).map(({ value }) => value);
const digest = (of: Ran, path: string) => of.step(path).model.digest;
const inputs = (of: Ran, path: string) =>
  of.step(path).call.inputs as unknown as { from: ModelRef; reference?: ModelRef; with: Record<string, ModelRef>; objective: string };
const dropped = async (of: Ran, path: string) => {
  const { droppedRecords } = (await made.bench.services.store.output(await keyOf(of, path)))!;
  const all = droppedRecords ? await made.rows<{ reason: string; value: { instruction: string } }>(droppedRecords) : [];
  return all.map(({ value: { reason, value } }) => [reason, value.instruction] as const);
};
const asking = (of: Ran, ending: string): Asked[] => of.asked.filter(({ content }) => content.endsWith(ending));

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
    numbers(14).map((n) => touchedOf(n + 2, 0.3)),
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
    t.deepEqual(partsIn(reply), parts, reply);
  t.deepEqual(partsIn('1. a, or 2. c\n2. b\n**Input:** N/A is the text.'), { constraints: ['a, or 2. c', 'b'], input: 'N/A is the text.' });
  t.deepEqual(taskIn('##1. a\n##2. b\n**Task**: Do **a** and b.'), { constraints: ['a', 'b'], instruction: 'Do **a** and b.' });
  for (const reply of ['Do **this**', '**Note** that', 'Use the headers **Start:** and **End**:']) t.is(instructionIn(reply), reply);
  for (const reply of ['**Instruction:** Do it.', '**Instruction**: Do it.', '### Instruction: Do it.'])
    t.is(instructionIn(reply), 'Do it.', reply);
  for (const reply of ['**New Constraint:** Be long.', 'New Constraint: Be long.', '### New constraint：Be long.'])
    t.is(newConstraintIn(reply), 'Be long.', reply);
  for (const reply of ['**Answer**: Yes', '{"answer": "yes"}', 'Answer：Ｙｅｓ', '`Answer: Yes`', 'Answer: <Yes>', 'Answer:\n\n**Yes**.'])
    t.true(verdictIn(reply), reply);
  for (const reply of ['Answer: Yes/No', 'Answer: Yes or No', 'The answer is yes']) t.is(verdictIn(reply), undefined, reply);
});

test('9 what a model must have said to be understood', (t) => {
  t.deepEqual(partsIn('\n##1. a\n##2. b\n**Input**: None'), { constraints: ['a', 'b'], input: null });
  t.deepEqual(partsIn('##1. a\n##2. b\nand more\n**Input**: Some\ntext'), { constraints: ['a', 'b\nand more'], input: 'Some\ntext' });
  for (const reply of [
    '##1. a\n**Input**: None',
    '##1. a\n##2. b',
    'Well: ##1. a ##2. b **Input**: None',
    '##1. a ##2. **Input**: None',
    '',
  ])
    t.is(partsIn(reply), undefined, reply);
  t.is(instructionIn(' Write a **very short** text. '), 'Write a **very short** text.');
  for (const reply of ['**Constraints**: x', 'Do it.\n**Input:** x', ' \n']) t.is(instructionIn(reply), undefined, reply);
  t.deepEqual(taskIn('##1. a\n##2. b\n**Task:** Do a and b.'), { constraints: ['a', 'b'], instruction: 'Do a and b.' });
  for (const reply of ['##1. a\n**Task:** Do a.', '##1. a\n##2. b', '##1. a ##2. b **Task:** x **Task:** y', '##1. a ##2. b **Task:**'])
    t.is(taskIn(reply), undefined, reply);
  t.is(newConstraintIn('**New Constraint**: Be long.'), 'Be long.');
  for (const reply of ['Be long.', '**New Constraint**:', 'So: **New Constraint**: x']) t.is(newConstraintIn(reply), undefined, reply);
  t.deepEqual(['It does.\nAnswer: Yes', '**Answer:** No.', 'Answer: Yes, no: Answer: no', 'Yes', 'Answer: maybe'].map(verdictIn), [
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
  t.throws(() => demosIn([demos[0], { ...demos[0], input: 5 }]), { name: 'SchemaError', message: /Demonstration 2 .*input is 5/ });
});

test('two instructions that differ in no more than spaces and case are the same', (t) => {
  t.true(same('Write a poem.\n\nUse ten words.', ' write a  poem. Use ten words.'));
  t.false(same('Write a poem.', 'Write a poem. Use ten words.'));
});

test.serial('8 the task is never touched; what is left keeps its order, and other seeds touch others', async (t) => {
  const noised = await records<Noised>(await run(), 'r1/corrupt');
  t.is(noised.length, 24);
  for (const { constraints, corrupted, touched } of noised) {
    t.is(touched.length, 1);
    t.is(corrupted[0], constraints[0]);
    t.deepEqual(
      corrupted,
      constraints.filter((one) => !touched.includes(one)),
    );
  }
  t.is(new Set(noised.map(({ constraints, touched }) => constraints.indexOf(touched[0]!))).size, 3);
});

test.serial(
  'the whole instruction is answered, and the corrupted one; both are trained under the whole one, with as many weights as ids',
  async (t) => {
    const ran = await run();
    const pairs = await records<Contrast>(ran, 'r1/respond');
    t.is(pairs.length, 23, 'equal answers are no pair');
    t.deepEqual(
      (await dropped(ran, 'r1/respond')).map(([reason]) => reason),
      ['equal'],
    );
    for (const { original, instruction, corrupted, chosen, rejected } of pairs) {
      t.is(instruction, original);
      t.not(corrupted, instruction);
      t.deepEqual([chosen, rejected], [`Answer to: ${instruction}`, `Answer to: ${corrupted}`]);
    }
    t.is(inputs(ran, 'r1/policy').objective, 'token-dpo');
    const learnt = await made.trained<WeightedPair>(ran, 'r1/policy');
    t.is(learnt.length, 23);
    for (const { record, chat } of learnt) {
      const { prompt, chosen, rejected } = chat as unknown as WeightedPreference;
      t.deepEqual(prompt, [{ role: 'user', content: record.instruction }]);
      for (const [side, text] of [
        [chosen, `Answer to: ${record.instruction}`],
        [rejected, `Answer to: ${record.corrupted}`],
      ] as const) {
        t.is(side.text, text);
        t.is(side.ids.length, text.split(' ').length + 1, 'and the end');
        t.deepEqual(
          side.weights,
          side.ids.map(() => 1.2),
          'each under its own instruction and under the other',
        );
        t.is(side.hash, digest(ran, 'model-policy'));
      }
    }
  },
);

test.serial(
  'another rule for the weights asks and measures nothing again; without an instruction is measured where it is asked for',
  async (t) => {
    const before = await run();
    const again = await run({ weighing: { metric: 'kl', scale: 1 } });
    t.deepEqual(again.asked, []);
    t.is(again.step('r1/measureConfidence').data.digest, before.step('r1/measureConfidence').data.digest);
    t.not(again.step('r1/weigh').data.digest, before.step('r1/weigh').data.digest);
    t.true((await records<Scored>(before, 'r1/measureConfidence')).every(({ confidence }) => confidence.chosen.none === null));
    const pmi = await records<Scored>(await run({ weighing: { metric: 'pmi' } }), 'r1/measureConfidence');
    t.true(pmi.every(({ confidence }) => confidence.rejected.none!.length === confidence.rejected.ids.length));
  },
);

test.serial(
  'instructions are taken apart and put together again, both by the same demonstrations; what is not understood goes',
  async (t) => {
    const ran = await run({}, ['queries', 'demos']);
    const taken = await records<Taken>(ran, 'r1/decompose');
    t.deepEqual(
      (await dropped(ran, 'r1/decompose')).toSorted(([, a], [, b]) => (a < b ? -1 : 1)),
      [3, 5].map((n) => ['no-constraints', sentencesOf(n).join(' ')] as const),
    );
    t.is(taken.length, 22);
    for (const { constraints, input, shots } of taken) {
      t.is(constraints.length, 4);
      t.is(shots.length, 2);
      t.true(
        shots.every((shot) => (shot.input === null) === (input === null)),
        'with a text of their own where the record has one',
      );
    }
    for (const { content } of asking(ran, '**Constraints**:')) t.is(content.match(/Demo \d+/g)!.length, 5);
    const together = asking(ran, '**Instruction**:').map(({ content }) => content);
    t.is(together.length, 44);
    const shown = (content: string) => content.match(/Demo \d+/g)!.join();
    for (const one of Map.groupBy(together, (content) => /.*##1\. (.*)/s.exec(content)![1]!.split('\n')[0]).values())
      t.is(new Set(one.map(shown)).size, 1);
    t.deepEqual(
      (await dropped(ran, 'r1/recombine')).map(([reason]) => reason),
      ['no-instruction'],
    );
    for (const { original, instruction, corrupted } of await records<Twins>(ran, 'r1/recombine')) {
      t.is(instruction, original);
      t.true(corrupted.startsWith(instruction.split('.')[0]!));
    }
  },
);

test.serial('instructions are made up, and once more for what the noise has left; of one topic only so many', async (t) => {
  const ran = await run({ selfMade: 12, perTopic: 5 }, ['queries', 'demos']);
  t.is((await records(ran, 'r1/drawShots')).length, 12);
  const twins = await records<Twins>(ran, 'r1/reinvent');
  for (const { instruction, corrupted, touched } of twins) {
    t.regex(instruction, /^Tell a short story of \d+\.$/);
    t.regex(corrupted, /^Only Tell a tale\. /);
    t.false(corrupted.includes(touched[0]!));
  }
  const shown = (ending: string) => asking(ran, ending).map(({ content }) => content.match(/(?<=\*\*Task:\*\* )Demo \d+/g)!.join());
  t.deepEqual(new Set(shown('**Constraints:**')), new Set(shown('**Task:**')));
  t.true(shown('**Task:**').every((demos) => demos.split(',').length === 4));
  const made = (await records<Contrast>(ran, 'r1/pairs')).filter(({ instruction }) => instruction.startsWith('Tell'));
  t.is(made.length, 5);
});

test.serial('a touched constraint can become another, or its opposite; what the model does not say goes', async (t) => {
  const ran = await run({ noise: { kinds: { delete: 0, substitute: 1 } } });
  const noised = await records<Noised>(ran, 'r1/corrupt');
  for (const { constraints, corrupted, touched } of noised)
    t.deepEqual(
      corrupted,
      constraints.map((one) => (touched.includes(one) ? 'Instead.' : one)),
    );
  t.deepEqual(await dropped(ran, 'r1/corrupt'), [['no-new-constraint', sentencesOf(9).join(' ')]]);
});

test.serial('a rejected answer that meets all that was left out goes on request, and so does a verdict that nobody can read', async (t) => {
  const ran = await run({ check: true });
  const reasons = Map.groupBy(await dropped(ran, 'r1/verify'), ([reason]) => reason);
  t.deepEqual([...reasons.keys()].toSorted(), ['complies', 'no-verdict']);
  const kept = await records<Contrast>(ran, 'r1/verify');
  t.is((await made.trained(ran, 'r1/policy')).length, kept.length);
});

test.serial('in a further round the model of the round before does everything, begins the training, and is its reference', async (t) => {
  const ran = await run({ rounds: 2 });
  const first = digest(ran, 'r1/policy');
  for (const path of ['r2/respond', 'r2/measureConfidence']) t.is(inputs(ran, path).with['self']!.digest, first);
  t.is(inputs(ran, 'r2/policy').from.digest, first);
  t.is(inputs(ran, 'r2/policy').reference, undefined);
  t.true((await records<WeightedPair>(ran, 'r2/weigh')).every(({ chosen }) => chosen.hash === first));
  const touched = async (path: string) => (await records<Noised>(ran, path)).map((one) => one.touched[0]);
  t.notDeepEqual(await touched('r1/corrupt'), await touched('r2/corrupt'), 'noise is drawn afresh');
});

test.serial('the arms: the same pairs by DPO; and pairs of answers to the whole instruction', async (t) => {
  moods = true;
  const ran = await run({ arms: ['plain', 'uncorrupted'], sampling: { respond: { temperature: 0.6, maxTokens: 9 } } });
  moods = false;
  t.is(inputs(ran, 'r1/plain/policy').objective, 'dpo');
  const plain = await made.trained<Contrast>(ran, 'r1/plain/policy');
  t.deepEqual(
    plain.map(({ record }) => record),
    await records<Contrast>(ran, 'r1/respond'),
  );
  for (const { record } of await made.trained<Contrast>(ran, 'r1/uncorrupted/policy'))
    t.deepEqual(
      new Set([record.chosen, record.rejected].map((text) => text.replace(', perhaps', ''))),
      new Set([`Answer to: ${record.instruction}`]),
    );
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

test.serial('demonstrations with a blank text are shown where there is none, and nothing is put behind an instruction', async (t) => {
  const blank = demos.map((demo) => ({ ...demo, input: demo.input ?? ' ' }));
  await writeFile(join(made.folder, 'blank.jsonl'), jsonl(blank));
  const ran = await run({ selfMade: 5 }, ['queries', 'blank']);
  for (const { input, shots } of await records<Taken>(ran, 'r1/decompose')) {
    t.is(shots.length, 2);
    t.true(shots.every((shot) => (shot.input === null) === (input === null)));
  }
  for (const { shots } of await records<Pick<Taken, 'shots'>>(ran, 'r1/drawShots'))
    t.is(shots.filter(({ input }) => input === null).length, 2);
  const poem = { instruction: 'Write a poem. Use ten words.', input: '', constraints: ['Write a poem.', 'Use ten words.'] };
  await writeFile(join(made.folder, 'poem.jsonl'), jsonl([poem]));
  const joined = await run({}, ['poem']);
  t.like((await records<Twins>(joined, 'r1/join'))[0], { instruction: poem.instruction, corrupted: 'Write a poem.' });
});

test.serial(
  'a pair whose two instructions say the same is no contrast: it is dropped and counted, whoever made them the same',
  async (t) => {
    const other = { temperature: 0.1, maxTokens: 99 }; // so that nothing is known of another test
    const sampling = { decompose: other, invent: other, corrupt: other };
    alike = true;
    const given = await run({ selfMade: 6, sampling }, ['queries', 'demos']);
    for (const path of ['r1/recombine', 'r1/reinvent']) {
      const kept = await records<Twins>(given, path);
      const reasons = (await dropped(given, path)).map(([reason]) => reason);
      t.true(reasons.includes('same'), path);
      t.true(kept.length > 0 && kept.every(({ instruction, corrupted }) => !same(instruction, corrupted)));
    }
    const substituted = await run({ noise: { kinds: { delete: 0, substitute: 1 } }, sampling });
    t.true((await dropped(substituted, 'r1/corrupt')).some(([reason]) => reason === 'same'));
    alike = false;
    const twice = { instruction: 'Write. write.', constraints: ['Write.', ' '] };
    await writeFile(join(made.folder, 'twice.jsonl'), jsonl([twice, parts[0]!]));
    t.deepEqual(
      (await dropped(await run({}, ['twice']), 'r1/join')).map(([reason]) => reason),
      ['same'],
    );
  },
);

for (const [what, parameters, data] of [
  ['taken apart and made up', { selfMade: 6, rounds: 2 }, ['queries', 'demos']],
  ['in parts, and checked', { check: true, arms: ['plain'] }, ['parts']],
  ['substituted', { noise: { kinds: { delete: 0.5, substitute: 0.5 } } }, ['parts']],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const ran = await run(parameters, data);
    const plan = await planOf('musc', made, ran.given);
    t.deepEqual(await beyond(plan, ran, made), []);
    const responding = plan.steps.find(({ path }) => path === 'r1/respond')!;
    t.is(responding.requests, 2 * responding.in!);
    t.deepEqual(
      plan.steps.flatMap(({ path, requests }) => (requests === null ? [path] : [])),
      what === 'substituted' ? ['r1/corrupt'] : what === 'in parts, and checked' ? ['r1/verify'] : [],
      'what hangs on the records is told as such',
    );
    const told = /at most [\d,]+ model calls( besides those of (\S+), which hang on the records)?, /.exec(tableOf(plan))!;
    t.is(told[2], what === 'substituted' ? 'r1/corrupt' : what === 'in parts, and checked' ? 'r1/verify' : undefined);
  });

async function keyOf(of: Ran, path: string): Promise<string> {
  const { resolve } = await import('../../steps/resolve.ts');
  const { services, context } = made.bench;
  return (await resolve(of.step(path).call, context, await services.registry([]))).stepKey;
}
