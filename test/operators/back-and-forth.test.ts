import test from 'ava';
import type { Message } from '../../recipe/index.ts';
import { parseRewritten, parseLetter } from '../../operators/back-and-forth/parse.ts';
import { rewritingShown } from '../../operators/back-and-forth/index.ts';

for (const [title, reply, found] of [
  ['both, with talk around them', 'Sure:\n[RES]\n It rains. \n[/RES]\nHope that helps', 'It rains.'],
  ['none', 'It rains.', 'no-markers'],
  ['none at its end', '[RES] It rains.', 'no-end-marker'],
  ['none at its beginning', 'It rains. [/RES]', 'no-markers'],
  ['them in the wrong order', '[/RES] It rains. [RES]', 'no-end-marker'],
  ['two pairs', '[RES] It rains. [/RES] [RES] It pours. [/RES]', 'several-markers'],
  ['an end that comes twice', '[RES] It rains. [/RES] or not [/RES]', 'several-markers'],
  ['a beginning that comes twice', '[RES] It [RES] rains. [/RES]', 'several-markers'],
  ['nothing between them', '[RES] \n [/RES]', 'empty'],
] as const)
  test(`B3 of markers a reply has ${title}`, (t) => {
    const between = parseRewritten(reply);
    t.is(typeof between === 'string' ? between : between.dropped, found);
  });

for (const [verdict, letter] of [
  ['A', 'A'],
  ['**B**', 'B'],
  ['Answer A is better.', 'A'],
  ['Answer: b', 'B'],
  ['A good answer is B.', undefined],
  ['Both are good.', undefined],
  ['An answer', undefined],
  ['', undefined],
] as const)
  test(`the verdict "${verdict}" is ${letter ?? 'none'}`, (t) => t.is(parseLetter(verdict), letter));

type Chat = { readonly messages: readonly Message[]; readonly prefill?: string };

test('the example that a small rewriter is shown is a reply that can be read', (t) => {
  const { messages, prefill } = rewritingShown.render({ instruction: 'Why?', response: 'So.' }) as Chat;
  t.deepEqual(
    messages.map(({ role }) => role),
    ['user', 'assistant', 'user'],
  );
  t.regex(parseRewritten(messages[1]!.content) as string, /^Bread .*temperature\.$/);
  t.is(prefill, '[RES]');
});
