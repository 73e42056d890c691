/** Instructions as models write them when they are asked for one. */
import test from 'ava';
import { unframed } from '../../operators/unframed.ts';

const instruction = 'How do rivers form, and why: by rain, or by "springs"?';

for (const [what, reply] of [
  ['politeness', `Sure! Here is an instruction that fits the text:\n\n${instruction}`],
  ['politeness in the same line', `Certainly, here's a question: ${instruction}`],
  ['politeness alone', `Of course!\n\n${instruction}`],
  ['what it is', `Here is the question a reader may have asked:\n${instruction}`],
  ['a label', `Question: ${instruction}`],
  ['a bold label', `**Instruction:** ${instruction}`],
  ['a bold label with its colon outside', `**Prompt**: ${instruction}`],
  ['a heading', `### User query:\n${instruction}`],
  ['a label in Chinese', `问题：${instruction}`],
  ['a code fence', `\`\`\`\n${instruction}\n\`\`\``],
  ['a code fence of text', `\`\`\`text\n${instruction}\n\`\`\`\n`],
  ['all of them', `Sure! Here's the instruction:\n\n\`\`\`markdown\n**Instruction:** ${instruction}\n\`\`\``],
] as const)
  test(`an instruction is the same without ${what}`, (t) => t.is(unframed(reply), instruction));

test('an instruction is the same without quotes round all of it', (t) => {
  for (const reply of [
    '"Why do rivers flow?"',
    '“Why do rivers flow?”',
    '„Why do rivers flow?“',
    '「Why do rivers flow?」',
    '**Why do rivers flow?**',
  ])
    t.is(unframed(reply), 'Why do rivers flow?');
});

test('what belongs to an instruction stays', (t) => {
  for (const text of [
    instruction,
    'Question the claim that rivers flow uphill.',
    'Here is a list: 3, 1, 2. Sort it.',
    'Here is a text:\n\nRivers flow.\n\nShorten it.',
    'Sure is a word. Use it in a sentence.',
    'Task 1: say a.\nTask 2: say b.',
    'Question 1: a?\nQuestion 2: b?',
    '"To be" or "not to be"?',
    'Explain this:\n```\nx = 1\n```',
    '```python\nx = 1\n```',
    '**Bold** words and **more**',
    'Question:',
    'Sure!',
    '',
  ])
    t.is(unframed(text), text);
});
