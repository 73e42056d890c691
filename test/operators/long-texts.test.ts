/** How Self-Lengthen counts and checks texts, and scores and demands their lengths. */
import test from 'ava';
import { chineseNumeral, demandFor, lengthScore, mentions, phraseOf, type LengthDemand } from '../../operators/self-lengthen/lengths.ts';
import { lonGen, parseGrades, quality } from '../../operators/self-lengthen/suites.ts';
import { checkResponse, countWords, isChinese } from '../../operators/self-lengthen/text.ts';
import { selfLengthen } from '../../schemas/recipes/self-lengthen.ts';
import { randomOf } from '../support/reduce.ts';

const defaults = selfLengthen.parameters.parse({});
const wordy = (key: string, count: number) => `${Array.from({ length: count }, (_, i) => `${key}${i}`).join(' ')}.`;

test('words are counted between spaces, and a Han character or full-width sign is one', (t) => {
  for (const [text, words] of [
    ['It rains,  today\n\nor not.', 5],
    ['今天下雨。', 5],
    ['我用 GPT-4 写作，很快', 8],
    ['  ', 0],
  ] as const)
    t.is(countWords(text), words, text);
  t.true(isChinese('我用 GPT-4 写作，很快'));
  t.false(isChinese('The word 人 means a person.'));
});

test('an English text ends with a closing sign, does not speak of itself at its ends, and repeats no ten words in a row', (t) => {
  const check = (text: string) => checkResponse(text, defaults.repetition);
  for (const end of Array.from('.!?:)"', (sign) => `It is so${sign}`)) t.is(check(`${end}\n `), undefined, end);
  t.is(check('It is so'), 'no-end');
  t.is(check('It is so。'), 'no-end');
  const lines = (...some: string[]) => check(some.map((line) => `${line}.`).join('\n'));
  t.is(lines('Here is the revised text', 'a', 'b', 'c', 'd'), 'about-itself');
  t.is(lines('a', 'This Version is longer', 'b', 'c', 'd', 'e'), 'about-itself');
  t.is(lines('a', 'b', 'c', 'I kept all paragraphs', 'd', 'e'), 'about-itself');
  t.is(lines('a', 'b', 'His response was kind', 'c', 'd', 'e'), undefined);
  t.is(lines('The conversion began', 'a', 'b'), undefined);
  t.is(check(`${wordy('a', 10)} ${wordy('b', 3)} ${wordy('a', 10)}`), 'repetition');
  t.is(check(`${wordy('a', 9)} ${wordy('b', 3)} ${wordy('a', 9)}`), undefined);
});

test('a Chinese text ends with a Chinese sign, and repeats no thirteen characters in a row', (t) => {
  const check = (text: string) => checkResponse(text, defaults.repetition);
  for (const sign of '。！？”）》') t.is(check(`今天下雨${sign}`), undefined, sign);
  for (const end of ['今天下雨', '今天下雨.', '今天下雨!']) t.is(check(end), 'no-end', end);
  const thirteen = '春江潮水连海平海上明月共潮';
  t.is(check(`${thirteen}生。${thirteen}。`), 'repetition');
  t.is(check(`${thirteen.slice(1)}生。${thirteen.slice(1)}。`), undefined, 'twelve, and the sign behind them differs');
  t.is(check('这篇 version 很好，很好。'), undefined, 'the English words are no fault');
});

test('7 the length score is 1 in the interval of a demand, and falls to 0 at half of it and at one and a half times', (t) => {
  for (const [demand, words, score] of [
    [{ about: 4000 }, 2400, 0.5],
    [{ about: 4000 }, 3200, 1],
    [{ about: 4000 }, 4800, 1],
    [{ about: 4000 }, 6000, 0.5],
    [{ about: 4000 }, 7200, 0],
    [{ below: 4000 }, 2000, 1],
    [{ below: 4000 }, 1000, 0],
    [{ below: 4000 }, 4000, 1],
    [{ below: 4000 }, 5000, 0.5],
    [{ above: 4000 }, 6000, 1],
    [{ above: 4000 }, 3000, 0.5],
    [{ above: 4000 }, 9000, 0],
    [{ range: [2000, 4000] }, 4000, 1],
    [{ range: [2000, 4000] }, 1500, 0.5],
    [{ range: [2000, 4000] }, 0, 0],
  ] as readonly (readonly [LengthDemand, number, number])[])
    t.is(lengthScore(demand, words), score, `${JSON.stringify(demand)}: ${words}`);
});

test('a demand is always met by its text, in all languages in which it is said, and comes in thousands for most', (t) => {
  const random = randomOf('demands');
  const kinds: Record<string, number> = {};
  let round = 0;
  for (let run = 0; run < 4000; run++) {
    const words = 2000 + Math.floor(random() * 6000);
    const demand = demandFor(words, defaults.demands, random);
    const [[kind, value]] = Object.entries(demand) as [[string, number | number[]]];
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    t.is(lengthScore(demand, words), 1, `${JSON.stringify(demand)} for ${words}`);
    const numbers = [value].flat();
    if (kind === 'above') t.true(words >= numbers[0]!);
    if (kind === 'below') t.true(words <= numbers[0]!);
    if (kind === 'range') t.true(numbers[0]! <= words && words <= numbers[1]! && numbers[0]! < numbers[1]!);
    if (numbers.every((number) => number % 1000 === 0)) round++;
  }
  t.true(round > 3600, `${round} are in thousands`);
  for (const [kind, share] of Object.entries(defaults.demands.kinds)) t.true(Math.abs(kinds[kind]! / 4000 - share) < 0.03, kind);
  for (const words of [1, 7, 40, 999, 12_345]) t.is(lengthScore(demandFor(words, defaults.demands, random), words), 1);
});

test('a demand is said with its own bounds, in English, in Chinese, and in Chinese numerals', (t) => {
  const say = (demand: LengthDemand) => (['english', 'chinese', 'spelled'] as const).map((language) => phraseOf(demand, language).phrase);
  t.deepEqual(say({ about: 4000 }), ['about 4000 words', '4000字左右', '四千字左右']);
  t.deepEqual(say({ range: [2000, 4000] }), ['2000 to 4000 words', '2000到4000字', '二千到四千字']);
  t.deepEqual(say({ above: 3000 }), ['at least 3000 words', '不少于3000字', '不少于三千字']);
  t.deepEqual(say({ below: 8000 }), ['at most 8000 words', '不超过8000字', '不超过八千字']);
  for (const [number, numeral] of Object.entries({
    10: '十',
    105: '一百零五',
    2500: '二千五百',
    2050: '二千零五十',
    12_000: '一万二千',
    10_500: '一万零五百',
  }))
    t.is(chineseNumeral(Number(number)), numeral);
  t.true(mentions('Write 4,000 to 6,000 words, please.', ['4000', '6000']));
  t.true(mentions('写一篇两千字的文章', ['二千']));
  t.true(mentions('写一篇４０００字的文章', ['4000']));
  for (const text of ['Write 14000 words.', 'Write 40000 words.', 'Write some words.']) t.false(mentions(text, ['4000']), text);
  t.false(mentions('写一篇二千五百字的文章', ['二千']));
});

test('7 the LonGen suite gives the mean score of all texts and of each kind of demand; an instruction without a text scores 0', (t) => {
  const asked = (demand: LengthDemand, words?: number) => ({
    item: { instruction: 'Write.', demand },
    answer: words === undefined ? undefined : { response: 'x', words },
  });
  const { items, prompt, sampling } = lonGen.params!.parse({ items: [asked({ about: 4000 }).item] }) as Parameters<
    typeof lonGen.measure
  >[1];
  t.deepEqual(sampling, { temperature: 0.7, topP: 0.8, topK: 20, repetitionPenalty: 1.1, maxTokens: 16_384 });
  const answers = [
    asked({ about: 4000 }, 4000),
    asked({ about: 4000 }),
    asked({ above: 4000 }, 3000),
    asked({ range: [2000, 4000] }, 1500),
  ];
  t.deepEqual(lonGen.measure(answers, { items, prompt, sampling }), {
    score: 0.5,
    about: 0.5,
    above: 0.5,
    range: 0.5,
    words: 8500 / 3,
    answered: 0.75,
  });
});

test('a verdict needs a whole grade from 1 to 10 in each of seven dimensions, or does not count; no text gets 1', (t) => {
  const names = ['Relevance', 'Coherence', 'Accuracy', 'Consistency', 'Clarity', 'Creativity', 'Engagement'];
  const verdict = (grade: unknown, from = names) =>
    JSON.stringify({ Analysis: 'It {is} so.', ...Object.fromEntries(from.map((name) => [name, grade])) });
  const grades = parseGrades(`Here it is:\n\`\`\`json\n${verdict(7)}\n\`\`\``)!;
  t.deepEqual(grades, Object.fromEntries(names.map((name) => [name, 7])) as never);
  for (const bad of [verdict(0), verdict(11), verdict(7.5), verdict('7'), verdict(7, names.slice(1)), '7', '{"Relevance": 7'])
    t.is(parseGrades(bad), undefined, bad);
  const item = { instruction: 'Write.' };
  const read = (given: typeof grades | null) => ({ item, answer: { response: 'x', grades: given, said: null } });
  const params = quality.params!.parse({ items: [item] }) as Parameters<typeof quality.measure>[1];
  const measured = quality.measure([read(grades), read(null), { item, answer: undefined }], params);
  t.like(measured, { quality: 4, relevance: 4, engagement: 4, judged: 0.5 });
});
