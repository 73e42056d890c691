import test from 'ava';
import { readable } from '../../operators/air/documents.ts';
import { appraise, judge } from '../../operators/air/prompts.ts';
import { parseConstraint, parseDuplicate, parseGrades, parseInstruction, parseMerged, parseScore } from '../../operators/air/parse.ts';
import type { Message } from '../../recipe/index.ts';
import { documentQuality, lengths } from '../../schemas/recipes/air.ts';
import { constraintTypes } from '../../schemas/recipes/air-types.ts';

const names = constraintTypes.map(({ name }) => name);

test('5 which constraints are understood', (t) => {
  const words = (count: number) => Array.from({ length: count }, (_, n) => `w${n}`).join(' ');
  const said = (reply: string, used: readonly string[] = [], types: readonly string[] = names) =>
    parseConstraint(reply, types, used, lengths.parse({}));
  const read = (type: string, constraint: string, ...more: (readonly string[])[]) =>
    said(`**Analysis**: x\n**Type**: ${type}\n**Constraint**: ${constraint}`, ...more);
  const demanded = (constraint: string) => read('Data format', constraint);
  t.deepEqual(demanded(words(26)), { type: 'data format', constraint: words(26) });
  t.is(demanded(words(27)), 'unreadable');
  t.deepEqual(demanded(words(3)), { type: 'data format', constraint: words(3) });
  t.is(demanded(words(2)), 'unreadable', 'a constraint of two words ends the loop, as in the code');
  for (const mention of [
    'Be like Output1 in its words.',
    'Be like output 2 in words.',
    'Follow the original instruction more.',
    'Heed these constraints all.',
  ])
    t.is(demanded(mention), 'unreadable', mention);
  t.is(read('format', words(5)), 'unreadable', 'a type of one word');
  t.is(read('one two three four five six seven', words(5), [], ['one two three four five six seven']), 'unreadable');
  t.is(read('colour scheme', words(5)), 'unreadable', 'no type of the list');
  t.like(read('exclusion constraint', words(5)), { type: 'exclusion constraint' }, 'not the inclusion, two edits away');
  t.is(read('exclusion constraint', words(5), ['exclusion constraint']), 'unreadable');
  t.is(read('data format', words(5), ['data format']), 'unreadable', 'one that was used');
  t.like(read('**Tone and stile**', words(5)), { type: 'tone and style' });
  t.like(said(`**Selected Type**: Target audience\n**Constraint:** "Write it for nurses."`), {
    type: 'target audience',
    constraint: 'Write it for nurses.',
  });
  t.like(demanded('Give the year of each.\nNote: this is short.'), { constraint: 'Give the year of each.' }, 'notes are cut');
  for (const none of ['None', 'none.', '**None**', 'None of them is missing']) t.is(demanded(none), 'none', none);
  for (const reply of ['', 'Give the year of each.', '**Type**: data format']) t.is(said(reply), 'unreadable', reply);
});

test('what else the guidance must have said to be understood', (t) => {
  t.is(parseInstruction('Here is an instruction:\n\n"Describe a river."\n'), 'Describe a river.');
  t.is(parseInstruction('Describe a river.\nThis instruction is short.\nOk'), 'Describe a river.');
  for (const reply of ['Hm', '', 'Here is an instruction']) t.is(parseInstruction(reply), undefined, reply);
  t.deepEqual(
    ['**Answer**: Yes', '**Answer**: No', 'so\n**Answer**: there is no such one', '**Answer**: perhaps', 'No.', ''].map(parseDuplicate),
    [true, false, false, true, true, true],
  );
  t.deepEqual(parseGrades('one\t3\n\ntwo\t 0', 2), [3, 0]);
  for (const reply of ['one\t3', 'one 3\ntwo 0', 'one\t4\ntwo\t1', '']) t.is(parseGrades(reply, 2), undefined, reply);
  t.is(parseMerged(' Describe a river.\n\n**Note**: merged'), 'Describe a river.');
});

test('documents of a length that can be read, not full of signs or repetitions', (t) => {
  const judge = (text: string, quality: object | null = {}) => {
    const params = { words: { min: 5, max: 60 }, quality: quality && documentQuality.parse(quality) };
    const outcome = readable.run({ text }, undefined as never, params) as { readonly dropped?: string };
    return outcome.dropped;
  };
  const plain = 'A river runs to the sea.';
  t.is(judge(plain), undefined);
  t.is(judge('Too short.'), 'short');
  t.is(judge('word '.repeat(61)), 'long');
  t.is(judge('河水流入大海'), undefined, 'a Han character is a word');
  t.is(judge('-#*|+=><~_%& a b c d e'), 'symbols');
  t.is(judge('𠮷𠮷𠮷𠮷𠮷!?!?!?'), 'symbols', 'a character of two code units is one');
  t.is(judge(`${plain}\n`.repeat(3)), 'repeated-lines');
  t.is(judge(`${plain} ${'!'.repeat(11)}`), 'repeated-character');
  t.is(judge(`${plain} ${'!'.repeat(10)}`), undefined);
  t.is(judge(`${plain}\n`.repeat(3), null), undefined);
});

test('the examples that judges are shown are replies that can be read', (t) => {
  const replies = (of: unknown, slots: object) =>
    (of as { render(slots: object): { readonly messages: readonly Message[] } })
      .render(slots)
      .messages.flatMap(({ role, content }) => (role === 'assistant' ? [content] : []));
  t.deepEqual(replies(appraise, { instruction: 'x' }).map(parseScore), [5, 2, 0, 4]);
  const types = constraintTypes.slice(0, 3);
  const read = replies(judge, { instruction: 'x', polished: 'y', output: 'z', types }).map((reply) =>
    parseConstraint(reply, names, [], lengths.parse({})),
  );
  t.like(read[0], { type: names[0] });
  t.is(read[1], 'none');
  t.like(read[2], { type: names[1] });
});
