/** LINGUIST: the rules for what the generator writes, and what becomes of what is accepted. */
import test from 'ava';
import { tagging } from '../../operators/eval/index.ts';
import { textOf } from '../../operators/linguist/compose.ts';
import { accepted, annotate, best, novel, paraphrase, rewriting } from '../../operators/linguist/index.ts';
import { located } from '../../operators/linguist/paraphrase.ts';
import type { Brief, Sample } from '../../operators/linguist/records.ts';
import { linguist } from '../../schemas/recipes/linguist.ts';
import { rowOf } from '../support/linguist-data.ts';
import { playing } from '../support/playing.ts';
import { rec, reduce, rows } from '../support/reduce.ts';

const { segmentation } = linguist.parameters.parse({ intents: ['t'] });
const known = Array.from({ length: 3 }, (_, n) => ({ id: null, language: 'en', ...rowOf('GetWeather', n) }));
const brief: Brief = {
  id: 'p1',
  source: 's1',
  language: 'en',
  intent: 'GetWeather',
  include: [
    [3, 'New York'],
    [1, '*'],
  ],
  labels: { 1: 'condition', 2: 'time', 3: 'city' },
  examples: ['is it [1 cold ] in [3 oslo ]'],
  legal: ['condition', 'time', 'city'],
};
const params = { prompts: { generate: 'p' }, sampling: { generate: { temperature: 0, maxTokens: 8 } }, segmentation };
const annotated = async (reply: string, given: Brief = brief) => annotate.run(given, playing({ text: '' }, [reply]).context, params);
const sampleOf = async (reply: string, given = brief) => ((await annotated(reply, given)) as { kept: readonly [Sample] }).kept[0];

for (const [what, reply, reason, given] of [
  ['an open bracket', 'is it [1 warm ] in [3 new york', 'v1-grammar'],
  ['a slot in a slot', 'is it [1 warm in [3 new york ] ]', 'v1-grammar'],
  ['a slot without a value', 'is it [1 ] in [3 new york ]', 'v1-grammar'],
  ['two lines', 'is it [1 warm ]\nin [3 new york ]', 'v1-grammar'],
  ['a number without a label', 'is it [1 warm ] in [7 new york ]', 'v2-label'],
  ['a slot that is missing', 'is it in [3 new york ]', 'v3-slots'],
  ['a slot that nobody asked for', 'is it [1 warm ] in [3 new york ] [2 now ]', 'v3-slots'],
  ['a slot that is there twice', 'is it [1 warm ] in [3 new york ] [3 new york ]', 'v3-slots'],
  ['a slot in place of another', 'is it [2 warm ] in [3 new york ]', 'v3-slots'],
  ['another value', 'is it [1 warm ] in [3 york ]', 'v4-value'],
  ['a wildcard that is left', 'is it [1 * ] in [3 new york ]', 'v5-wildcard'],
  ['a wildcard elsewhere', 'is it * [1 warm ] in [3 new york ]', 'v5-wildcard'],
  ['a type that the intent cannot have', 'is it [1 warm ] in [3 new york ]', 'v7-type', { ...brief, legal: ['city'] }],
] as const)
  test(`3 ${what} is rejected by its rule`, async (t) => {
    const dropped = (await annotated(reply, given)) as { dropped: string; evidence: string };
    t.is(dropped.dropped, reason);
    t.true(dropped.evidence.startsWith(reason.slice(0, 2).toUpperCase()) && dropped.evidence.endsWith(reply));
  });

test('3, 8 what breaks no rule is accepted, with its request, labels, reply, tags and rules', async (t) => {
  const reply = 'Is it [1 very warm ] in [3 new york ] ?';
  t.deepEqual(await sampleOf(reply), {
    id: null,
    language: 'en',
    intent: 'GetWeather',
    tokens: ['Is', 'it', 'very', 'warm', 'in', 'new', 'york', '?'],
    tags: ['O', 'O', 'B-condition', 'I-condition', 'O', 'B-city', 'I-city', 'O'],
    brief,
    raw: reply,
    rules: { V1: true, V2: true, V3: true, V4: true, V5: true, V7: true },
    perplexity: null,
  });
  const japanese = { ...brief, language: 'ja', include: [[3, '東京']] } satisfies Brief;
  t.deepEqual((await sampleOf('[3 東京]の天気は', japanese)).tokens.slice(0, 2), ['東京', 'の']);
});

test('values that are asked for twice must be there twice', async (t) => {
  const twice = {
    ...brief,
    include: [
      [3, 'lima'],
      [3, 'oslo'],
      [3, '*'],
    ],
  } satisfies Brief;
  t.truthy((await sampleOf('[3 oslo ] or [3 rio ] or [3 lima ]', twice)).raw);
  for (const reply of ['[3 oslo ] or [3 rio ] or [3 oslo ]', '[3 lima ] or [3 rio ] or [3 rio ]'])
    t.like(await annotated(reply, twice), { dropped: 'v4-value' });
});

test('3 a copy of a real utterance or of one of the test set, and a duplicate, are rejected, whatever their tags, case and punctuation', async (t) => {
  const replies = [
    'Is it [1 cold ] in [3 New York ]',
    'is it [1 cold ] in [3 new york ] !',
    'really [1 cold ] in [3 new york ]?',
    'how [1 cold ] is [3 new york ]',
    'new: [1 cold ] [3 new york ]',
  ];
  const made = await Promise.all(replies.map(async (reply) => rec(await sampleOf(reply))));
  const utterance = (text: string) => rec({ ...known[0]!, tokens: text.split(' '), tags: text.split(' ').map(() => 'O') });
  const inputs = {
    made: [rows(made.slice(0, 3)), rows(made.slice(3))],
    real: rows([utterance('really cold in new york')]),
    test: rows([utterance('How cold is New York ?')]),
  };
  const { kept, dropped } = await reduce(novel, inputs, { most: null });
  t.deepEqual(
    kept.map(({ value }) => value['raw']),
    [replies[0], replies[4]],
  );
  for (const { value, from } of kept) {
    t.like(value, { rules: { V1: true, V6: true } });
    t.true(made.some(({ id }) => id === from[0]));
  }
  t.deepEqual(
    dropped.map(({ reason }) => reason),
    ['v6-duplicate', 'v6-copy', 'v6-test'],
  );
  t.deepEqual(
    (await reduce(novel, inputs, { most: 1 })).dropped.map(({ reason }) => reason),
    ['v6-duplicate', 'v6-copy', 'v6-test', 'surplus'],
  );
});

const slot = (type: string, value: string) => ({ type, words: value.split(' ') });
test('the values of a paraphrase are found again, the longest first; one that is missing or not alone rejects it', async (t) => {
  const slots = [slot('city', 'york'), slot('state', 'new york')];
  t.deepEqual(located(['in', 'New', 'York', 'or', 'york'], slots), {
    pieces: [
      { type: null, words: ['in'] },
      { type: 'state', words: ['New', 'York'] },
      { type: null, words: ['or'] },
      { type: 'city', words: ['york'] },
    ],
  });
  t.like(located(['in', 'new', 'york'], slots), { broken: 'V4', value: 'york' });
  t.like(located(['york', 'york', 'in', 'new', 'york'], slots), { broken: 'V3', value: 'york' });
  const asked = { prompts: { paraphrase: 'p' }, sampling: { paraphrase: { temperature: 0, maxTokens: 8 } }, segmentation };
  const said = async (reply: string) => paraphrase.run(known[1]!, playing({ text: '' }, [reply]).context, asked);
  const { kept } = (await said('Sure! Here is the sentence:\n"Next Friday, how warm is New York?"')) as { kept: readonly [Sample] };
  t.deepEqual(kept[0].tokens, ['Next', 'Friday', 'how', 'warm', 'is', 'New', 'York'], 'like the starter, without punctuation');
  t.like(await said('**next friday how warm is New York**'), {
    kept: [{ brief: null, tags: ['B-timeRange', 'I-timeRange', 'O', 'O', 'O', 'B-city', 'I-city'] }],
  });
  t.like(await said('how warm is it there'), { dropped: 'v4-value' });
  t.like(await said('new york\nnext friday'), { dropped: 'v1-grammar' });
  const { messages } = rewriting.render({ language: 'en', text: 'in new york', values: ['new york'] }) as {
    messages: readonly { content: string }[];
  };
  t.true(messages[0]!.content.includes('"new york"'));
});

test('of the translations of an utterance the likeliest is taken; without any it is dropped, or enters as it is', async (t) => {
  const of = known.slice(0, 3).map(rec);
  const sample = async (source: number, perplexity: number) =>
    rec({ ...(await sampleOf(`is [1 ${perplexity} ] in [3 new york ]`, { ...brief, source: of[source]!.id })), perplexity });
  const made = [await sample(1, 3), await sample(0, 2), await sample(1, 1.5), await sample(1, 4)];
  const taken = (fallback: string) => reduce(best, { of: rows(of), made: rows(made) }, { fallback });
  const { kept, dropped } = await taken('drop');
  t.deepEqual(
    kept.map(({ id }) => id),
    [made[1]!.id, made[2]!.id],
  );
  t.deepEqual(
    dropped.map(({ reason }) => reason),
    ['not-best', 'not-best', 'no-translation'],
  );
  t.deepEqual((await taken('copy')).kept.at(-1)!.value, known[2]! as object);
});

test('what is accepted is measured', async (t) => {
  const made = [
    await sampleOf('is it [1 warm ] in [3 new york ]'),
    await sampleOf('[1 hot ] in [3 new york ]'),
    await sampleOf('[1 hot ] [3 new york ] so', { ...brief, source: 's2' }),
  ];
  t.deepEqual(await accepted.measure(rows(made.map(rec)) as never, {}), {
    samples: 3,
    sources: 2,
    leastOfSource: 1,
    mostOfSource: 2,
    words: 14 / 3,
    slots: 2,
    ownValues: 0.5,
  });
  t.is((await accepted.measure(rows([]) as never, {})).samples, 0);
  t.is(textOf({ tokens: ['What', "'s", 'up', '?'] }), 'what s up');
});

test('5 a slot counts only with its type and both its ends', (t) => {
  const tagged = (...slots: readonly (readonly [type: string, from: number, to: number])[]) => {
    const tags = Array.from({ length: 8 }, () => 'O');
    for (const [type, from, to] of slots) for (let at = from; at <= to; at++) tags[at] = `${at === from ? 'B' : 'I'}-${type}`;
    return { tags, intent: 'x', tokens: tags.map((_, at) => `w${at}`) };
  };
  const item = tagged(['city', 3, 4], ['date', 6, 6]);
  const measure = (answer: object) => tagging.measure([{ item, answer }], {});
  t.like(measure(tagged(['city', 3, 4], ['date', 6, 7])), { slotF1: 0.5, slotPrecision: 0.5, slotRecall: 0.5 });
  t.is(measure(tagged(['place', 3, 4])).slotF1, 0);
});
