import test from 'ava';
import { clean } from '../../operators/kun/index.ts';
import { parseVerdict, findRepetition, tidyInstruction, findKeyword } from '../../operators/kun/rules.ts';

for (const [verdict, good] of [
  ['【好】', true],
  ['【差】', false],
  ['这条指令【好】，不是【差】', undefined],
  ['好', undefined],
  ['【 好 】。', true],
  ['[Good]', true],
  ['[BAD]: vague', false],
  ['[GOOD] [BAD]', undefined],
  ['Good', undefined],
  ['', undefined],
] as const)
  test(`K2 the verdict "${verdict}" is ${good === undefined ? 'none' : good ? 'good' : 'bad'}`, (t) => t.is(parseVerdict(verdict), good));

for (const [text, word] of [
  ['Read the News.', 'news'],
  ['Describe these pictures', 'picture'],
  ['Summarise ＡＲＴＩＣＬＥ 3', 'article'],
  ['请根据图片回答', '图片'],
  ['What is the context of linking and curling?', undefined],
  ['如何学习游泳？', undefined],
] as const)
  test(`K6 "${text}" has ${word ?? 'no such word'}`, (t) =>
    t.is(findKeyword(text, ['news', 'picture', 'article', 'text', 'link', 'url', '图片']), word));
test('K6 a year is found in Chinese, where no blank parts it from its sign', (t) => {
  t.is(findKeyword('截至2023年', ['2023']), '2023');
  t.is(findKeyword('截至２０２３年', ['2023']), '2023');
  t.is(findKeyword('Nr. 120231', ['2023']), undefined);
});
for (const [instruction, tidy] of [
  ['How does it work?     Answer: so.', 'How does it work?'],
  ['  Why?  ', 'Why?'],
  ['Why?\nWhy?', 'Why?'],
  ['One.\nTwo.\nTwo.', undefined],
  ['One.\n\nTwo.', 'One.\n\nTwo.'],
] as const)
  test(`K6 of the instruction ${JSON.stringify(instruction)} there is left ${JSON.stringify(tidy)}`, (t) =>
    t.is(tidyInstruction(instruction), tidy));
for (const [text, unit] of [
  ['哈哈哈哈哈哈', '哈'],
  ['哈哈哈哈哈', undefined],
  ['No no no no no', undefined],
  ['It rains. '.repeat(6), true],
  [`A start of its own, then ${'again and '.repeat(6)}`, true],
  ['a line\n==========\nanother', undefined],
  ['Wait......', undefined],
] as const)
  test(`K6 ${JSON.stringify(text.slice(0, 30))} ${unit === undefined ? 'does not repeat itself' : 'repeats itself'}`, (t) =>
    t.is(findRepetition(text) !== undefined, unit !== undefined));
test('K6 a response has 20 characters or more, of which a Han character is one and a blank at its ends none', async (t) => {
  const cleaned = (response: string) =>
    clean.run({ text: 'T', instruction: 'I', verdict: '[GOOD]', response }, {} as never, { words: { response: [] }, minChars: 20 });
  const text = '潮汐是海水在月球和太阳引力之下的周期涨落'; // 20 characters
  t.true('kept' in (await cleaned(text)));
  for (const response of [text.slice(1), `${text.slice(1)} `, '\n'.repeat(20)]) t.like(await cleaned(response), { dropped: 'short' });
});
