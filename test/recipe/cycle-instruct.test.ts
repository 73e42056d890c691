/** The acceptance facts of Cycle-Instruct (its label mask is in trainer/tests, and the counts of the original sets are not here), and what
 *  the recipe lets one choose where the paper is silent. */
import test from 'ava';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { health, prune } from '../../operators/cycle-instruct/measure.ts';
import { byQuestionMark, passages } from '../../operators/cycle-instruct/route.ts';
import type { Answer, Lying, Pair, QA, Question } from '../../operators/cycle-instruct/records.ts';
import { isRef, type DatasetRef, type ModelRef, type ReportRef, type Result } from '../../schemas/call.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { playing } from '../support/playing.ts';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl, stage, type Ran } from '../support/recipe.ts';
import { rec, reduce, rows } from '../support/reduce.ts';

const ROUNDS = 2;
const asked = Array.from({ length: 30 }, (_, n) => `What is thing ${n}${n % 2 ? '?' : '？'}`);
const told = Array.from({ length: 40 }, (_, n) => `Thing number ${n} is a stone.`);
/** Two or three passages a document, some too short. */
const documents = Array.from({ length: 14 }, (_, n) => ({
  text: [...asked.slice(n * 3, n * 3 + 3), ...told.slice(n * 3, n * 3 + 3), 'short'].join('\n\n'),
}));
const pairs: readonly Pair[] = Array.from({ length: 50 }, (_, n) => ({ instruction: `Instruction ${n}`, response: `Response ${n}` }));
const lot = (text: string, sides: number) => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;

const made = await stage(
  'cycle-instruct',
  {
    reply: (role, model, content) => {
      if (role === 'rewriter')
        return /question, clear/.test(content) ? `Clean: ${content.slice(6, 25)}?` : `Clean: ${content.slice(6, 25)}.`;
      return content.includes('thing 7') ? ' ' : `${role} ${lot(model + content, 1000)} says.`;
    },
    place: ([first = '', second = '']) => ({ cluster: lot(first, 2), distance: lot(first + second, 1000) / 1000, pick: null }),
  },
  {
    'documents.jsonl': jsonl(documents),
    'pairs.jsonl': jsonl(pairs),
    'base/': '{}',
    'rewriter/': '{"a": 1}',
    'encoder/': '{"b": 1}',
  },
);
const source = (path: string) => ({ source: 'std.jsonl', params: { path }, folder: made.folder });
const run = (
  parameters: object = {},
  data: Record<string, ReturnType<typeof source>> = { documents: source('documents.jsonl') },
  models: readonly string[] = ['base'],
) =>
  made.run({
    parameters: { rounds: ROUNDS, minimum: 1, ...parameters },
    data,
    models: Object.fromEntries(models.map((name) => [name, { path: join(made.folder, name) }])),
  });
const ran = await run();

interface Inputs {
  readonly from: ModelRef;
  readonly over: DatasetRef;
  readonly inputs: Readonly<Record<string, ModelRef>>;
  readonly with: Readonly<Record<string, ModelRef>>;
  readonly params: Readonly<Record<string, unknown>>;
}
const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
const digest = (of: Ran, path: string) => of.step(path).model.digest;
const paths = (of: Ran) => of.performed.map(({ call }) => call.path);
const sides = async (of: Ran, path = 'byQuestionMark') => {
  const result = of.step(path).result as unknown as Record<'questions' | 'answers', DatasetRef>;
  const [questions, answers] = [await made.rows<Question>(result.questions), await made.rows<Answer>(result.answers)];
  return { questions: questions.map(({ value }) => value.question), answers: answers.map(({ value }) => value.answer) };
};
const outputs = (result: Result): string[] => (isRef(result) ? [result.digest] : Object.values(result).map((ref) => ref.digest));
const rounds = Array.from({ length: ROUNDS }, (_, n) => n + 1);

test.serial('1 question-like is what holds a question mark, of full width too; both sides are disjoint and all there is', async (t) => {
  const { questions, answers } = await sides(ran);
  t.deepEqual(questions.toSorted(), asked.toSorted());
  t.deepEqual(answers.toSorted(), told.toSorted());
  const twice = await reduce(byQuestionMark, { of: rows(['a ?', 'b', 'a ?', 'b'].map((text) => rec({ text }))) });
  t.is(twice.kept.length, 2);
  t.deepEqual(
    twice.dropped.map(({ reason }) => reason),
    ['duplicate', 'duplicate'],
  );
});

test('a question is known by the mark of its script', async (t) => {
  const questions = [
    'What?',
    '何ですか？',
    'ما هي عاصمة مصر وكم عدد سكانها؟',
    'Ποια είναι η πρωτεύουσα;',
    'Ποια είναι «αυτή»;',
    'Ի՞նչ է սա՞',
    'ምንድን ነው፧',
    'ᤋᤠ᥅',
    'Really⁇',
    'What‽',
    'What﹖',
    'ꤊ꘏',
    'Che cosa⸮',
    '❓ Where',
  ];
  const answers = ['A stone; it is old.', 'Ήρθα, είδα· νίκησα.', 'نعم؛ هو حجر.', '石です。', 'It is 2; α > 1.'];
  const { kept } = await reduce(byQuestionMark, { of: rows([...questions, ...answers].map((text) => rec({ text }))) });
  t.deepEqual(
    kept.flatMap(({ value }) => value['question'] ?? []),
    questions,
  );
  t.deepEqual(
    kept.flatMap(({ value }) => value['answer'] ?? []),
    answers,
  );
});

test('passages: a line of blanks of any width ends a paragraph, and the default keeps what is short in Han and Kana', async (t) => {
  const { shortest } = recipeSchemas['cycle-instruct']!.parameters.parse({}) as { shortest: number };
  const parts = ['如何煮米饭？', '日本の首都はどこ？', 'A line\n  and one more', '한국의 수도는?', '😀😀😀😀😀😀😀😀😀😀'];
  const all = ['好吗', 'too short', '😀😀😀😀😀😀😀', ...parts].flatMap((part, n) => [
    part,
    ['\n\u3000\n', '\r\n\t\u00a0\r\n', '\n\n\n', '\u2029', '\r\r'][n % 5]!,
  ]);
  const outcome = await passages.run({ text: all.join('') }, playing({ text: '' }, []).context, { split: 'paragraphs', shortest });
  t.deepEqual(outcome, { kept: parts.map((text) => ({ text })) });
});

test.serial(
  '3, 6 what is learnt was found, byte for byte, and all of it that has a label is learnt once; nothing that was generated is',
  async (t) => {
    const { questions, answers } = await sides(ran);
    for (const round of rounds) {
      const learnt = async (role: string) =>
        (await made.trained<QA>(ran, `r${round}/${role}`)).map(({ chat }) => chat.messages.at(-1)!.content).toSorted();
      t.deepEqual(await learnt('a2q'), questions.filter((text) => !text.includes('thing 7')).toSorted());
      t.deepEqual(await learnt('q2a'), answers.toSorted());
    }
  },
);

test.serial('3 what is given was generated by the opposite model', async (t) => {
  for (const { chat } of await made.trained<QA>(ran, 'r1/a2q')) t.regex(chat.messages.at(-2)!.content, /q2a \d+ says\.$/);
  for (const { chat } of await made.trained<QA>(ran, 'r1/q2a')) t.regex(chat.messages.at(-2)!.content, /^a2q \d+ says\.$/);
});

test.serial('5, 7 both begin as one base; A2Q asks as the round trained it, and the next round answers as Q2A was trained', (t) => {
  const base = digest(ran, 'model-base');
  for (const role of ['a2q', 'q2a']) t.is(inputs(ran, `r1/${role}`).from.digest, base);
  t.is(inputs(ran, 'r1/answer').with['q2a']!.digest, base);
  for (const round of rounds) {
    t.is(inputs(ran, `r${round}/ask`).with['a2q']!.digest, digest(ran, `r${round}/a2q`));
    if (round === 1) continue;
    t.is(inputs(ran, `r${round}/answer`).with['q2a']!.digest, digest(ran, `r${round - 1}/q2a`));
    for (const role of ['a2q', 'q2a']) t.is(inputs(ran, `r${round}/${role}`).from.digest, digest(ran, `r${round - 1}/${role}`));
  }
  t.is(inputs(ran, 'final').from.digest, base);
});

test.serial('the base is asked in words of its own, a trained model as it was trained', async (t) => {
  const jacobi = await run({ order: 'jacobi' });
  const prompt = (of: Ran, path: string) => inputs(of, path).params['prompt'];
  t.is(prompt(ran, 'r1/answer'), 'cycle-instruct.baseAnswer');
  t.is(prompt(ran, 'r2/answer'), 'cycle-instruct.answer');
  t.is(prompt(ran, 'r1/ask'), 'cycle-instruct.ask');
  t.is(prompt(jacobi, 'r1/ask'), 'cycle-instruct.baseAsk');
});

test.serial('an instruction-tuned base can be asked in the words that it is then trained with', async (t) => {
  const tuned = await run({ prompts: { baseAnswer: 'cycle-instruct.answer', baseAsk: 'cycle-instruct.ask' }, order: 'jacobi' });
  for (const path of ['r1/answer', 'r2/answer']) t.is(inputs(tuned, path).params['prompt'], 'cycle-instruct.answer');
  for (const path of ['r1/ask', 'r2/ask']) t.is(inputs(tuned, path).params['prompt'], 'cycle-instruct.ask');
});

test.serial('jacobi: both speak as they were before the round', async (t) => {
  const jacobi = await run({ order: 'jacobi' });
  t.is(inputs(jacobi, 'r1/ask').with['a2q']!.digest, digest(jacobi, 'model-base'));
  t.is(inputs(jacobi, 'r2/ask').with['a2q']!.digest, digest(jacobi, 'r1/a2q'));
  t.is(inputs(jacobi, 'r2/answer').with['q2a']!.digest, digest(jacobi, 'r1/q2a'));
});

test.serial('trainings can begin at the base each round, and the last one where the rounds ended', async (t) => {
  const other = await run({ from: 'base', finalFrom: 'previous' });
  for (const round of rounds)
    for (const role of ['a2q', 'q2a']) t.is(inputs(other, `r${round}/${role}`).from.digest, digest(other, 'model-base'));
  t.is(inputs(other, 'final').from.digest, digest(other, `r${ROUNDS}/q2a`));
});

test.serial('6 the final pairs are all that the last models label anew, or the labels of the last round', async (t) => {
  const all = await made.rows<QA>(ran.step('all').data);
  t.is(all.length, asked.length - 1 + told.length);
  t.is(inputs(ran, 'final-answer').with['q2a']!.digest, digest(ran, `r${ROUNDS}/q2a`));
  const last = await run({ finalData: 'last' });
  t.false(paths(last).includes('final-answer'));
  const labels = [...(await made.rows<QA>(last.step('r2/answer').data)), ...(await made.rows<QA>(last.step('r2/ask').data))];
  t.deepEqual(
    (await made.rows<QA>(last.step('all').data)).map(({ id }) => id),
    labels.map(({ id }) => id),
  );
});

test.serial('each side is written once more by the opposite model, from what was generated for it', async (t) => {
  t.is(inputs(ran, 'askAgain').with['a2q']!.digest, digest(ran, `r${ROUNDS}/a2q`));
  t.is(inputs(ran, 'answerAgain').with['q2a']!.digest, digest(ran, `r${ROUNDS}/q2a`));
  for (const { value } of await made.rows<Lying>(ran.step('cluster-questions').data)) {
    t.is(value.found, value.question);
    t.regex(value.again, /^a2q /);
  }
  for (const { value } of await made.rows<Lying>(ran.step('cluster-answers').data)) t.is(value.found, value.answer);
});

const lying = (cluster: number, distances: readonly number[]) =>
  distances.map((distance, n) =>
    rec({ question: `q ${cluster} ${n}`, answer: 'a', original: 'question', found: '', again: '', cluster, distance }),
  );
const spread = (count: number, seed: string) => Array.from({ length: count }, (_, n) => lot(`${seed} ${n}`, 1000) / 1000);

test.serial('8 of each cluster the share that lies farthest goes, rounded half up; a small cluster loses nothing', async (t) => {
  const sizes = [9, 10, 29, 30, 50, 200];
  const clusters = sizes.map((size, cluster) => lying(cluster, spread(size, `cluster ${cluster}`)));
  const of = clusters.flat().toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const { kept, dropped } = await reduce(prune, { of: rows(of) }, { share: 0.05 });
  const gone = new Set(dropped.map(({ id }) => id));
  for (const [cluster, members] of clusters.entries()) {
    const [out, stay] = [members.filter(({ id }) => gone.has(id)), members.filter(({ id }) => !gone.has(id))];
    t.is(out.length, [0, 1, 1, 2, 3, 10][cluster]!);
    if (out.length > 0) t.true(Math.max(...stay.map(({ value }) => value.distance)) <= Math.min(...out.map(({ value }) => value.distance)));
  }
  t.is(kept.length + dropped.length, of.length);
});

test.serial('8 what comes back as it was is not removed while something else is not', async (t) => {
  const { dropped } = await reduce(prune, { of: rows(lying(0, [...Array.from({ length: 18 }, () => 0), 0.1, 0.2])) }, { share: 0.1 });
  t.deepEqual(
    dropped.map(({ evidence }) => evidence),
    ['0.1: ', '0.2: '],
  );
});

test.serial('9 a share of 0 changes nothing; equal distances go by id', async (t) => {
  const of = lying(0, spread(40, 'any'));
  t.deepEqual((await reduce(prune, { of: rows(of) }, { share: 0 })).kept, of);
  const equal = lying(
    0,
    spread(40, 'any').map(() => 0.5),
  );
  const { dropped } = await reduce(prune, { of: rows(equal) }, { share: 0.1 });
  t.deepEqual(
    dropped.map(({ id }) => id).toSorted(),
    equal
      .map(({ id }) => id)
      .toSorted()
      .slice(0, 4),
  );
});

test.serial('what is pruned is not learnt; another share asks, trains and embeds nothing anew but what follows it', async (t) => {
  const pruned = await run({ filter: { share: 0.2 }, arms: ['unfiltered'] });
  const [some, all] = [await made.trained<QA>(pruned, 'final'), await made.trained<QA>(pruned, 'unfiltered/final')];
  t.is(all.length, asked.length - 1 + told.length);
  t.true(some.length < all.length);
  const other = await run({ filter: { share: 0.3 } });
  t.deepEqual(other.asked, []);
  t.deepEqual(
    other.trainings.map(({ call }) => call.path),
    ['final'],
  );
  t.is(digest(other, 'cluster-answers'), digest(pruned, 'cluster-answers'));
  t.false(paths(await run({ filter: null })).some((path) => /again|cluster|prune/i.test(path)));
  t.true(paths(await run({ filter: { together: true } })).includes('prune-pairs'));
});

test.serial('the encoder is the base, or a model of its own', async (t) => {
  t.is(inputs(ran, 'cluster-answers').inputs['encoder']!.digest, digest(ran, 'model-base'));
  const other = await run({}, undefined, ['base', 'encoder']);
  t.is(inputs(other, 'cluster-answers').inputs['encoder']!.digest, digest(other, 'model-encoder'));
});

test.serial(
  '10 of an instruction set half the pairs leave a question and half an answer, and nothing of the other side is left',
  async (t) => {
    const one = await run({}, { pairs: source('pairs.jsonl') });
    const { questions, answers } = await sides(one, 'breakPairs');
    t.is(questions.length, 25);
    t.is(answers.length, 25);
    const number = (text: string) => Number(text.split(' ')[1]);
    t.deepEqual(
      [...questions, ...answers].map(number).toSorted((a, b) => a - b),
      pairs.map((_, n) => n),
    );
    // The sides that went change places among themselves.
    const kept = new Set([...questions, ...answers]);
    const turned = (side: keyof Pair) => {
      const gone = pairs.map((pair) => pair[side]).filter((text) => !kept.has(text));
      return pairs.map((pair) => (kept.has(pair[side]) ? pair[side] : gone.pop()!));
    };
    const [instructions, responses] = [turned('instruction'), turned('response')];
    const shuffled = instructions.map((instruction, n) => ({ instruction, response: responses[n]! }));
    await writeFile(join(made.folder, 'shuffled.jsonl'), jsonl(shuffled));
    t.notDeepEqual(shuffled, pairs);
    const other = await run({}, { pairs: source('shuffled.jsonl') });
    const artifacts = (of: Ran) =>
      Object.fromEntries(
        of.performed.filter(({ call }) => call.path !== 'data-pairs').map(({ call, result }) => [call.path, outputs(result)]),
      );
    t.deepEqual(artifacts(other), artifacts(one));
  },
);

test.serial('nothing is written anew unless it is asked for', (t) => {
  t.false(paths(ran).some((path) => path.startsWith('clean')));
  t.true(ran.asked.every(({ role }) => role !== 'rewriter'));
});

test.serial('what the rewriter writes is shown to the models, and what is learnt is as it was found, byte for byte', async (t) => {
  const clean = await run({ rewrite: true }, undefined, ['base', 'rewriter']);
  t.is(inputs(clean, 'cleanQuestion').with['rewriter']!.digest, digest(clean, 'model-rewriter'));
  const { questions, answers } = await sides(clean);
  for (const [role, found, opposite] of [
    ['a2q', questions, 'q2a'],
    ['q2a', answers, 'a2q'],
  ] as const)
    for (const round of rounds) {
      const learnt = (await made.trained<QA>(clean, `r${round}/${role}`)).map(({ chat }) => chat.messages.at(-1)!.content);
      t.true(learnt.length > 0 && learnt.every((text) => found.includes(text)));
      const asked = clean.asked.filter(
        (one) =>
          one.role === opposite && one.model === inputs(clean, `r${round}/${opposite === 'q2a' ? 'answer' : 'ask'}`).with[opposite]!.digest,
      );
      t.true(asked.some(({ content }) => content.includes('Clean: ')));
    }
  for (const { value } of await made.rows<QA>(clean.step('all').data))
    t.true(value.original === 'question' ? questions.includes(value.question) : answers.includes(value.answer));
});

test.serial('a document can be one passage', async (t) => {
  const whole = await run({ split: 'none' });
  t.is((await made.rows(whole.step('passages').data)).length, documents.length);
});

test.serial('copies and variety are measured each round, and rounds end where copies are too many', async (t) => {
  const { metrics } = ran.step('r1/health').result as ReportRef;
  t.is(metrics['answerCopies'], 0);
  t.true(metrics['questionDistinct']! > 0.3 && metrics['questionWords'] === 3);
  const stopped = await run({ stop: { copies: 0 } });
  t.true(paths(stopped).includes('r1/health') && !paths(stopped).some((path) => path.startsWith('r2/')));
  t.true(paths(stopped).includes('final'));
  const of = (question: string, answer: string) => rec({ question, answer, original: 'question' as const });
  const measured = await (health.run as (...given: unknown[]) => Promise<Record<string, number>>)({
    answered: rows([of('what is a b?', 'What is a b? It is c.'), of('what is d?', 'an e')]),
    asked: rows([]),
  });
  t.is(measured['answerCopies'], 0.5);
  t.is(measured['questionDistinct'], 0);
});

test.serial('the control learns what was generated, given what was found, and each model by itself', async (t) => {
  const both = await run({ arms: ['generated'] });
  for (const { chat } of await made.trained<QA>(both, 'r1/generated/q2a')) t.regex(chat.messages.at(-1)!.content, /^q2a \d+ says\.$/);
  t.is(inputs(both, 'r2/generated/ask').with['a2q']!.digest, digest(both, 'r1/generated/a2q'));
  t.is(digest(both, 'r2/q2a'), digest(ran, 'r2/q2a'));
});

for (const [what, parameters, data] of [
  ['paragraphs', { arms: ['unfiltered', 'generated'] }, 'documents'],
  ['rewritten', { rewrite: true, filter: { together: true } }, 'documents'],
  ['pairs', { order: 'jacobi', finalData: 'last' }, 'pairs'],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const one = await run(parameters, { [data]: source(`${data}.jsonl`) });
    const plan = await planOf('cycle-instruct', made, one.given);
    t.deepEqual(await beyond(plan, one, made), []);
    const passages = plan.steps.find(({ path }) => path === 'passages');
    if (data === 'documents') t.like(passages, { in: documents.length, kept: documents.length });
    if (data === 'documents') t.is(plan.steps.find(({ path }) => path === 'byQuestionMark')!.in, asked.length + told.length);
  });
