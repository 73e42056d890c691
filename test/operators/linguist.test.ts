/** LINGUIST on single utterances: its grammar, its words, its requests, and the rules for what the generator writes. */
import test from 'ava';
import { compose, withoutNames } from '../../operators/linguist/compose.ts';
import { parsed, piecesOf, printed, segmented, slotsIn, taggedOf, type Piece } from '../../operators/linguist/grammar.ts';
import { briefs, drills, read, request } from '../../operators/linguist/index.ts';
import { row, type Brief, type Drill, type Utterance } from '../../operators/linguist/records.ts';
import { wordsIn } from '../../operators/linguist/words.ts';
import { linguist } from '../../schemas/recipes/linguist.ts';
import { intents, rowOf } from '../support/linguist-data.ts';
import { playing } from '../support/playing.ts';
import { randomOf, rec, reduce, rows } from '../support/reduce.ts';

const defaults = linguist.parameters.parse({ intents: ['t'] });
const { segmentation } = defaults;
const { context } = playing({ text: '' }, []);
const sorted = (values: Iterable<string>) => [...values].toSorted();
const reading = { language: 'en', segmentation };
const readOne = (value: object, params = reading) => {
  const outcome = read.run(row.parse(value), context, params);
  return 'kept' in (outcome as object) ? (outcome as { kept: readonly Utterance[] }).kept[0]! : (outcome as { dropped: string });
};
const utteranceOf = (value: object, params = reading) => readOne(value, params) as Utterance;

test('2 an utterance that is printed and parsed is the same, and has a tag for each token', (t) => {
  const gold: Utterance[] = [
    ...intents.flatMap((intent) => Array.from({ length: 40 }, (_, n) => utteranceOf(rowOf(intent, n)))),
    utteranceOf({ intent: 'x', tokens: ['a', 'b', 'c', 'd'], tags: ['B-s', 'B-s', 'I-s', 'B-t'] }), // slots that touch
    utteranceOf({ intent: 'x', tokens: ['5', '7', 'pm'], tags: ['O', 'B-time', 'I-time'] }),
    utteranceOf({ intent: 'x', locale: 'ja-JP', annot_utt: '[date : 明後日] 午前六時に [place : new york] の天気を教えて' }),
    utteranceOf({ intent: 'x', locale: 'th-TH', annot_utt: 'ปลุกฉันตอน [time : เก้าโมงเช้า]วันศุกร์' }),
  ];
  for (const one of gold) {
    t.is(one.tokens.length, one.tags.length);
    const types = [...new Set(slotsIn(piecesOf(one)).map(({ type }) => type))];
    const text = printed(piecesOf(one), (type) => types.indexOf(type) + 1);
    const numbered = segmented(parsed(text)!, one.language, segmentation);
    const back = taggedOf(numbered.map(({ type, words }): Piece<string> => ({ type: type === null ? null : types[type - 1]!, words })));
    t.deepEqual(back, { tokens: one.tokens, tags: one.tags }, text);
  }
});

test('the grammar: words and numbered values on one line, with spaces beside the brackets or without', (t) => {
  const snow: Piece<number>[] = [
    { type: null, words: ['will', 'it'] },
    { type: 3, words: ['heavily', 'snow'] },
    { type: null, words: ['?'] },
  ];
  for (const text of ['will it [3 heavily snow ] ?', ' will  it[ 3 heavily snow]?', 'will it [3  heavily  snow ]?'])
    t.deepEqual(parsed(text), snow);
  const none = [
    '',
    ' ',
    '[3 snow',
    '3 snow ]',
    '[3 a [4 b ] ]',
    '[snow ]',
    '[3 ]',
    '[3]',
    '[]',
    'a\nb',
    '[3\nsnow ]',
    '] [',
    '[-1 a ]',
    '[3snow ]',
  ];
  for (const text of none) t.is(parsed(text), undefined, text);
});

test('an I tag that continues no slot of its type begins one; rows in MASSIVE’s notation have the same words', (t) => {
  const given = { intent: 'alarm_set', tokens: ['wake', 'me', 'at', 'nine', 'am'], tags: ['O', 'O', 'O', 'I-time', 'I-time'] };
  const expected = { id: null, language: 'en', ...given, tags: ['O', 'O', 'O', 'B-time', 'I-time'] };
  t.deepEqual(utteranceOf(given), expected);
  t.deepEqual(utteranceOf({ intent: 'alarm_set', annot_utt: 'wake me at [time : nine am]', locale: 'en-US', id: 7, tokens: null }), {
    ...expected,
    id: '7',
  });
  t.deepEqual(utteranceOf({ ...given, language: 'pt-BR' }).language, 'pt');
  const touching = ['B-day', 'B-time', 'B-time', 'I-time', 'O'];
  t.deepEqual(utteranceOf({ ...given, tags: touching }).tags, touching);
});

test('a row that is no annotated utterance is refused, or dropped with the reason', (t) => {
  const fits = (value: object) => row.safeParse({ intent: 'i', ...value }).success;
  t.true(fits({ tokens: ['a'], tags: ['O'] }));
  for (const value of [
    {},
    { tokens: ['a'] },
    { tokens: ['a', 'b'], tags: ['O'] },
    { tokens: ['a'], tags: ['X'] },
    { tokens: ['a'], tags: ['B-'] },
    { tokens: [], tags: [] },
    { tokens: [' '], tags: ['O'] },
    { tokens: ['a'], tags: ['O'], annot_utt: 'a' },
    { tokens: ['a'], tags: ['O'], intent: ' ' },
    { tokens: ['a'], tags: ['O'], language: 'no language' },
  ])
    t.false(fits(value), JSON.stringify(value));
  const reason = (value: object) => (readOne({ intent: 'i', ...value }) as { dropped: string }).dropped;
  t.is(reason({ annot_utt: 'at [time : nine' }), 'no-annotation');
  t.is(reason({ annot_utt: 'at [nine am]' }), 'no-annotation');
  t.is(reason({ annot_utt: 'at [time : ]' }), 'empty');
  t.is(reason({ tokens: ['a', '[b'], tags: ['O', 'O'] }), 'reserved');
  t.is(reason({ tokens: ['a', '*'], tags: ['O', 'B-x'] }), 'reserved');
});

test('texts of languages without spaces are split by rules; whoever joins their words and splits them again has the same words', (t) => {
  const text = '明後日の new york、午前6時30分。';
  const byWords = wordsIn(text, 'ja', segmentation);
  t.true(byWords.includes('明後日') && byWords.includes('new') && byWords.includes('york'), byWords.join('|'));
  t.deepEqual(wordsIn(byWords.join(' '), 'ja', segmentation), byWords);
  t.deepEqual(wordsIn(byWords.join(''), 'ja', segmentation).includes('明後日'), true);
  const characters = wordsIn(text, 'ja', { ja: 'grapheme' });
  t.deepEqual(characters.slice(0, 5), ['明', '後', '日', 'の', 'n']);
  t.deepEqual(wordsIn(characters.join(' '), 'ja', { ja: 'grapheme' }), characters);
  t.deepEqual(wordsIn(' new  york. ', 'en', segmentation), ['new', 'york.']);
  const spaced = { intent: 'x', language: 'ja', tokens: ['明', '後', '日', 'の', '朝'], tags: ['B-date', 'I-date', 'I-date', 'O', 'O'] };
  t.deepEqual(utteranceOf(spaced), utteranceOf({ intent: 'x', locale: 'ja-JP', annot_utt: '[date : 明後日] の朝' }));
});

const known = Array.from({ length: 14 }, (_, n) => utteranceOf(rowOf('GetWeather', n)));
const blocks =
  /^<language> (.*) <\/language>\n<intent> (.*) <\/intent>\n<include> (.*) <\/include>\n<labels> (.*) <\/labels>\n<examples>(?: <\/examples>|\n([^]*)\n<\/examples>)$/;

test('1 a request has five blocks in their order; the numbers of what it includes all have labels', (t) => {
  const { asked } = compose({ language: 'de', of: known[1]!, examples: known, types: ['state'], wildcard: 0.5 }, randomOf(0));
  const { messages } = request.render(asked) as { messages: readonly { content: string }[] };
  const [, language, intent, include, labels, examples] = blocks.exec(messages[0]!.content)!;
  t.deepEqual([messages.length, language, intent], [1, 'German', 'GetWeather']);
  t.is(examples!.split('\n').length, 10);
  t.deepEqual(sorted(labels!.split(', ').map((label) => label.replace(/^\d=/, ''))), ['city', 'state', 'timeRange']);
  for (const [, number] of include!.matchAll(/\[(\d+) /g)) t.regex(labels!, new RegExp(`\\b${number}=`));
  const bare = request.render({ ...asked, include: [], examples: [] }) as typeof request.render extends never
    ? never
    : { messages: readonly { content: string }[] };
  t.regex(bare.messages[0]!.content, /<include> {2}<\/include>[^]*<examples> {2}<\/examples>$/);
});

test('1 slots of which neither the intent nor an example knows have labels too', (t) => {
  const of = utteranceOf(rowOf('BookRestaurant', 1));
  const { asked } = compose({ language: 'en', of, examples: [known[3]!], types: ['state'], wildcard: 0 }, randomOf(0));
  t.deepEqual(sorted(Object.values(asked.labels)), ['city', 'partySize', 'state', 'timeRange']);
  for (const [number] of asked.include) t.true(number in asked.labels);
});

test('drills: 0 to 10 examples, numbers in any order, wildcards and codes in the stated shares; the same again for the same seed', async (t) => {
  const many = { of: rows(Array.from({ length: 900 }, (_, n) => rec(utteranceOf(rowOf(intents[n % 3]!, Math.floor(n / 3)))))) };
  const make = async (seed: number, drilling = defaults.drills) =>
    (await reduce(drills, many, { most: 10, drilling }, seed)).kept.map(({ value }) => value as unknown as Drill);
  const made = await make(0);
  t.is(made.length, 900);
  const share = <T>(items: readonly T[], test: (item: T) => boolean) => items.filter(test).length / items.length;
  const close = (found: number, expected: number) => t.true(Math.abs(found - expected) < 0.06, `${found}, not ${expected}`);
  for (let count = 0; count <= 10; count++)
    close(
      share(made, ({ examples }) => examples.length === count),
      1 / 11,
    );
  close(
    share(
      made.flatMap(({ include }) => include),
      ([, value]) => value === '*',
    ),
    0.5,
  );
  const names = made.flatMap(({ labels }) => Object.values(labels));
  const isCode = (name: string) => /^[A-Z]{1,5}$/.test(name);
  close(share(names, isCode), 0.2);
  t.true(names.every((name) => isCode(name) || ['city', 'timeRange', 'artist', 'partySize'].includes(name)));
  close(
    share(
      made.filter(({ labels }) => Object.values(labels).includes('city')),
      ({ labels }) => labels['1'] === 'city',
    ),
    5 / 12,
  );
  t.deepEqual(await make(0), made);
  t.notDeepEqual(await make(1), made);
  for (const { include, labels } of await make(0, { wildcard: 0, labelDropout: 1 }))
    t.true(
      include.every(([, value]) => value !== '*') &&
        Object.values(labels).every(isCode) &&
        new Set(Object.values(labels)).size === Object.keys(labels).length,
    );
});

test('1 no example of a drill has the text of its target, though the data have it twice, with other tags or in capitals', async (t) => {
  const [one, other] = [known[1]!, known[2]!];
  const twins = [one, { ...one, tags: one.tags.map(() => 'O') }, { ...one, tokens: one.tokens.map((word) => word.toUpperCase()) }, other];
  const { kept } = await reduce(drills, { of: rows(twins.map(rec)) }, { most: 10, drilling: { ...defaults.drills, labelDropout: 0 } }, 3);
  for (const { value } of kept) {
    const { target, examples } = value as unknown as Drill;
    const texts = examples.map((line) =>
      parsed(line)!
        .flatMap(({ words }) => words)
        .join(' ')
        .toLowerCase(),
    );
    t.false(
      texts.includes(
        parsed(target)!
          .flatMap(({ words }) => words)
          .join(' ')
          .toLowerCase(),
      ),
    );
  }
});

test('codes never make two labels equal', (t) => {
  const random = randomOf(1);
  for (let n = 0; n < 200; n++) {
    const labels = withoutNames({ 1: 'A', 2: 'B', 3: 'city' }, 0.9, () => random() / 3); // few letters, short codes
    t.is(new Set(Object.values(labels)).size, 3);
  }
});

test('all starters have their turn before any has its next; an ontology adds labels and says what is legal', async (t) => {
  const starters = known.slice(0, 10).map(rec);
  const make = async (more: object, of = starters) =>
    (
      await reduce(briefs, { of: rows(of) }, { language: null, samples: 3, pass: 1, most: 10, wildcard: 0.5, ontology: {}, ...more })
    ).kept.map(({ value }) => value as unknown as Brief);
  const made = await make({});
  t.deepEqual(
    made.map(({ source }) => source),
    [1, 2, 3].flatMap(() => starters.map(({ id }) => id)),
  );
  t.is(new Set(made.map(({ id }) => id)).size, 30);
  for (const { examples, legal } of made) {
    t.is(new Set(examples).size, 10, 'all of them');
    t.deepEqual(sorted(legal), ['city', 'timeRange']);
  }
  for (const { legal, labels } of await make({ ontology: { GetWeather: ['city', 'state'] } })) {
    t.deepEqual(legal, ['city', 'state']);
    t.deepEqual(sorted(Object.values(labels)), ['city', 'state', 'timeRange']);
  }
  for (const { source, language, examples, labels } of await make({ language: 'de' }, known.map(rec))) {
    t.is(language, 'de');
    const first = parsed(examples[0]!)!.map(({ type, words }) => ({ type: type === null ? null : labels[type]!, words }));
    t.is(taggedOf(first).tokens.join(' '), known.find((one) => rec(one).id === source)!.tokens.join(' '), 'what is projected comes first');
  }
  for (const language of [null, 'de'])
    for (const { examples } of await make({ language, most: 3 })) t.is(examples.length, 3, `in ${language}`);
});
