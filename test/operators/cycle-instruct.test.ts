import test from 'ava';
import { prune } from '../../operators/cycle-instruct/measure.ts';
import { byQuestionMark, passages } from '../../operators/cycle-instruct/route.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { playing } from '../support/playing.ts';
import { rec, reduce, rows } from '../support/reduce.ts';
import { lot } from '../support/recipe.ts';

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
