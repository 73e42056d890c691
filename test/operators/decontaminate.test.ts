/** Records that contain items of an evaluation are dropped, and no others. */
import test from 'ava';
import { decontaminate } from '../../operators/std/index.ts';
import type { Rec } from '../../recipe/define.ts';
import { rec, reduce, rows, type Split } from '../support/reduce.ts';

const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `w${from + n}`).join(' ');
const against = (items: readonly Rec<object>[], ...fields: string[]) => ({ items: rows(items), fields });
const cleaned = (records: readonly Rec<object>[], items: readonly Rec<object>[], fields = ['prompt'], more: object = {}): Promise<Split> =>
  reduce(decontaminate, { of: rows(records) }, { against: [against(items, ...fields)], ...more });
/** Whether each text is dropped. */
const verdicts = async (texts: readonly string[], prompt: string, more: object = {}): Promise<boolean[]> => {
  const records = texts.map((text, n) => rec({ n, text }));
  const { kept, dropped } = await cleaned(records, [rec({ prompt })], ['prompt'], more);
  if (kept.length + dropped.length !== texts.length) throw new Error('a record is neither kept nor dropped, or both');
  return records.map(({ id }) => dropped.some((one) => one.id === id));
};

test('13 words in a row make a record contaminated, wherever they stand in it and in the item; 12 do not', async (t) => {
  const item = numbered(0, 40);
  for (let from = 0; from + 13 <= 40; from++)
    t.deepEqual(await verdicts([`before ${numbered(from, from + 13)} after`], item), [true], `${from}`);
  const apart = `${numbered(0, 12)} x ${numbered(12, 24)}`;
  t.deepEqual(await verdicts([numbered(0, 12), apart, `y ${numbered(28, 40)}`, item.split(' ').toReversed().join(' ')], item), [
    false,
    false,
    false,
    false,
  ]);
});

test('the evidence is the shared words and the first item that has them; kept records stay as they are, in order', async (t) => {
  const items = [rec({ prompt: numbered(100, 140) }), rec({ prompt: numbered(20, 60) }), rec({ prompt: numbered(20, 60), again: true })];
  const records = [rec({ text: 'sound' }), rec({ text: `So: ${numbered(30, 50)}` }), rec({ other: ['sound', { too: null }] })];
  const { kept, dropped } = await cleaned(records, items);
  t.deepEqual(kept, [records[0]!, records[2]!]);
  t.deepEqual(dropped, [{ id: records[1]!.id, reason: 'contaminated', evidence: `"${numbered(30, 43)}" of ${items[1]!.id}` }]);
});

test('`words` is the length of what is shared', async (t) => {
  t.deepEqual(await verdicts([`x ${numbered(3, 8)} y`, `x ${numbered(3, 7)} y`], numbered(0, 20), { words: 5 }), [true, false]);
});

test('a shorter item contaminates a text that is the item, and none that holds it or is part of it', async (t) => {
  const texts = ['what is the capital of france', 'What is the capital of France? Paris.', 'The capital of France'];
  t.deepEqual(await verdicts(texts, 'What is the capital of France?'), [true, false, false]);
  t.deepEqual(await verdicts([numbered(0, 13), `${numbered(0, 13)} x`], numbered(0, 13)), [true, true], '13 words are no shorter item');
});

test('case, punctuation, width and line breaks do not count; a text without words matches nothing', async (t) => {
  const item = 'Write a poem, in two stanzas, about the sea at night: no rhymes!';
  t.deepEqual(await verdicts(['WRITE a poem\n- in two stanzas\n- about the ｓｅａ at night (no rhymes)', '', '!!!'], item), [
    true,
    false,
    false,
  ]);
  t.deepEqual(await verdicts(['???', ''], '!!!'), [false, false]);
});

test('in scripts without spaces a character is a word', async (t) => {
  const chinese = '请写一首关于夜晚大海的诗不要押韵';
  t.deepEqual(await verdicts([`好的，${chinese.slice(2, 15)}。`, `好的，${chinese.slice(2, 14)}。`], chinese), [true, false]);
  const kana = 'きょうはとてもいいてんきですねーとかれはいった';
  t.deepEqual(await verdicts([`「${kana.slice(3, 16)}」`, `「${kana.slice(3, 15)}」`], kana), [true, false]);
});

test('all texts of a record are compared, and of items those in the fields: lists, paths, and what messages say', async (t) => {
  const long = numbered(0, 20);
  const said = [{ role: 'user', content: long }];
  const records = [
    rec({ instruction: 'a', response: long }),
    rec({
      messages: [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: long },
      ],
    }),
    rec({ conversations: [{ from: 'human', value: long }] }),
    rec({ kind: 'user', text: 'human' }),
  ];
  const sound = [records[3]!.id];
  for (const [item, field] of [
    [{ prompt: long }, 'prompt'],
    [{ prompt: ['x', long] }, 'prompt'],
    [{ messages: said }, 'messages'],
    [{ conversations: [{ from: 'human', value: long }] }, 'conversations'],
    [{ requests: [{ prompt: { messages: said }, continuation: 'human' }] }, 'requests.prompt'],
    [{ key: 'human', prompt: long }, 'prompt'],
  ] as const)
    t.deepEqual(
      (await cleaned(records, [rec(item)], [field])).kept.map(({ id }) => id),
      sound,
      field,
    );
});

test('several datasets and fields are compared; an item that lacks a field is compared by its others', async (t) => {
  const [a, b, c] = [numbered(0, 20), numbered(20, 40), numbered(40, 60)];
  const records = [a, b, c, 'sound'].map((text) => rec({ text }));
  const params = {
    against: [against([rec({ prompt: a }), rec({ answer: b })], 'prompt', 'answer'), against([rec({ question: c })], 'question')],
  };
  const { kept } = await reduce(decontaminate, { of: rows(records) }, params);
  t.deepEqual(kept, [records[3]!]);
});

test('items without text in the fields are an error with the fields that they have; no items are none', async (t) => {
  await t.throwsAsync(cleaned([], [rec({ prompt: 'x', key: 3 })], ['promt', 'key']), {
    name: 'ConfigError',
    message:
      'None of the 1 items to compare with has text in promt or key: the last one has prompt, key. Name the field that holds the text.',
  });
  t.is((await cleaned([rec({ text: 'a' })], [])).kept.length, 1);
});

test('finds what a comparison of all runs of words finds, in random texts of few words', async (t) => {
  let state = 7;
  const next = (below: number) => (state = (state * 48271) % 2147483647) % below;
  const textOf = (length: number) => Array.from({ length }, () => 'abcd'[next(4)]!);
  const items = Array.from({ length: 30 }, () => textOf(1 + next(12)));
  const texts = Array.from({ length: 400 }, () => textOf(1 + next(12)));
  const runsOf = (words: readonly string[]) =>
    words.length < 5 ? [words.join(' ')] : words.slice(4).map((_, at) => words.slice(at, at + 5).join(' '));
  const all = new Set(items.flatMap(runsOf));
  const records = texts.map((words, n) => rec({ n, text: words.join(' ') }));
  const { kept, dropped } = await cleaned(
    records,
    items.map((words, n) => rec({ n, prompt: words.join(' ') })),
    ['prompt'],
    { words: 5 },
  );
  t.deepEqual(
    kept.map(({ id }) => id),
    records.filter((_, n) => !runsOf(texts[n]!).some((run) => all.has(run))).map(({ id }) => id),
  );
  t.true(kept.length > 50 && dropped.length > 50, `${kept.length} and ${dropped.length}`);
});
