import test from 'ava';
import { degeneracy } from '../../operators/std/index.ts';

const measured = (values: readonly Readonly<Record<string, unknown>>[], params: object) =>
  degeneracy.measure(
    (async function* () {
      for (const value of values) yield { value };
    })() as never,
    degeneracy.params!.parse(params) as never,
  ) as Promise<Record<string, number>>;

test('a text that says the words of its prompt again is an echo, one that has its source in it a copy', async (t) => {
  const wording = ['Write the question or request that the text below answers, and nothing else.'];
  const source = 'The river Rudwick runs for 380 miles through the hills of the north.';
  const texts = [
    'How long is the river Rudwick?',
    'The question or request that the text answers is: how long is it?',
    'WRITE the question, or request that!',
    'the river Rudwick runs for 380 miles',
    'Rudwick',
    'Does it rain?',
  ];
  t.like(
    await measured(
      texts.map((instruction) => ({ instruction, source })),
      { text: 'instruction', source: 'source', wording },
    ),
    {
      rows: 6,
      distinct: 1,
      echoed: 2 / 6,
      copied: 2 / 6,
      han: 0,
    },
  );
});

test('lengths count characters as a reader does, and Chinese texts are echoes and copies too', async (t) => {
  const values = ['请介绍长江', '𠀀𠀀', '长江是中国最长的河流', '写出它最可能对应的指令'].map((text) => ({
    text,
    source: '长江是中国最长的河流，全长六千三百公里。',
  }));
  t.deepEqual(await measured(values, { text: 'text', source: 'source', wording: ['请写出它最可能对应的指令，只写指令。'] }), {
    rows: 4,
    distinct: 1,
    echoed: 0.25,
    copied: 0.25,
    han: 1,
    chars10: 2,
    chars50: 5,
    chars90: 11,
  });
});

test('ratings come as shares of all records, and texts that are all alike stand out', async (t) => {
  const values = [5, 5, 4.6, 1, null].map((score) => ({ text: 'I am ready to assist.', score }));
  t.like(await measured(values, { text: 'text', rating: 'score' }), { rows: 5, distinct: 0.2, rated1: 0.2, rated5: 0.6 });
});

test('of no records every share is 0, and a field that is not there is named', async (t) => {
  t.like(await measured([], { text: 'text' }), { rows: 0, distinct: 0, chars50: 0 });
  await t.throwsAsync(measured([{ instruction: 'Why?' }], { text: 'text' }), { message: /no text in its field "text", only instruction/ });
});
