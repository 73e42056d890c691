/** Metrics of taggers: slots are right by type and both ends, as seqeval counts them; intents over all sentences and over those of one. */
import test from 'ava';
import { slotsOf } from '../../operators/eval/slots.ts';
import { tagging } from '../../operators/eval/index.ts';
import type { Labels } from '../../recipe/index.ts';

/** `B-city I-city O` -> the slots, as `city[0,1]`. */
const named = (tags: string) => slotsOf(tags.split(' ')).map(({ type, from, to }) => `${type}[${from},${to}]`);

for (const [what, tags, slots] of [
  ['no slot', 'O O O', []],
  ['slots of one token and of several', 'B-a O B-b I-b I-b', ['a[0,0]', 'b[2,4]']],
  ['two slots of one type side by side', 'B-a B-a I-a', ['a[0,0]', 'a[1,2]']],
  ['an I- at the beginning of a sentence begins a slot', 'I-a I-a O', ['a[0,1]']],
  ['an I- after an O begins a slot', 'O I-a O', ['a[1,1]']],
  ['an I- of another type begins a slot', 'B-a I-b I-b', ['a[0,0]', 'b[1,2]']],
  ['an I- continues only its neighbour', 'B-a O I-a', ['a[0,0]', 'a[2,2]']],
  ['a slot at the end of a sentence is whole', 'O B-a I-a', ['a[1,2]']],
  ['a type may have hyphens and dots', 'B-depart_date.day-name I-depart_date.day-name', ['depart_date.day-name[0,1]']],
] as const)
  test(`slots in tags: ${what}`, (t) => t.deepEqual(named(tags), [...slots]));

const sentence = (intent: string, tags: string) => ({ tokens: tags.split(' ').map((_, n) => `w${n}`), tags: tags.split(' '), intent });
const labels = (intent: string, tags: string): Labels => ({ intent, tags: tags.split(' ') });
type Measured = Record<string, number>;
const measured = (pairs: readonly (readonly [gold: object, answer: Labels | undefined])[], intent?: string): Measured =>
  tagging.measure(
    pairs.map(([item, answer]) => ({ item, answer })),
    intent === undefined ? {} : { intent },
  );

test('a slot with one wrong end is wrong: of two slots one is right, so precision, recall and F1 are a half', (t) => {
  const gold = sentence('x', 'O O O B-city I-city O B-date O');
  t.like(measured([[gold, labels('x', 'O O O B-city I-city O B-date I-date')]]), { slotPrecision: 0.5, slotRecall: 0.5, slotF1: 0.5 });
  t.like(measured([[gold, labels('x', 'O O O B-city I-city O B-date O')]]), { slotPrecision: 1, slotRecall: 1, slotF1: 1 });
});

test('a right span of a wrong type counts nothing', (t) => {
  const gold = sentence('x', 'B-city I-city O');
  t.like(measured([[gold, labels('x', 'B-date I-date O')]]), { slotPrecision: 0, slotRecall: 0, slotF1: 0 });
});

test('slots of all sentences are counted together, and one that only an I- begins is right where its ends are', (t) => {
  const pairs = [
    [sentence('x', 'B-a O B-a O'), labels('x', 'I-a O O O')],
    [sentence('x', 'O B-b'), labels('x', 'B-b B-b')],
  ] as const;
  t.like(measured(pairs), { slotPrecision: 2 / 3, slotRecall: 2 / 3, slotF1: 2 / 3 });
  t.like(measured([...pairs, [sentence('x', 'B-c'), labels('x', 'O')]]), { slotPrecision: 2 / 3, slotRecall: 2 / 4, slotF1: 4 / 7 });
});

test('recall of an intent is over its own sentences: a false positive elsewhere lowers the accuracy over all, and no local number', (t) => {
  const own = [
    [sentence('x', 'B-a O'), labels('x', 'B-a O')],
    [sentence('x', 'B-a O'), labels('y', 'O O')],
  ] as const;
  const other = sentence('y', 'O B-b');
  const good = measured([...own, [other, labels('y', 'O B-b')]], 'x');
  const bad = measured([...own, [other, labels('x', 'B-b O')]], 'x');
  t.deepEqual([good['intentAccuracy'], bad['intentAccuracy']], [2 / 3, 1 / 3]);
  for (const one of [good, bad]) t.like(one, { intentRecall: 0.5, localSlotF1: 2 / 3 });
  t.true(bad['slotF1']! < good['slotF1']!);
});

test('without an intent there are no local numbers; of no sentence, and of no slot, every share is 0', (t) => {
  t.deepEqual(measured([]), { intentAccuracy: 0, slotPrecision: 0, slotRecall: 0, slotF1: 0, answered: 0, unread: 0 });
  t.like(measured([[sentence('x', 'O'), labels('x', 'O')]], 'y'), { intentAccuracy: 1, intentRecall: 0, slotF1: 0, localSlotF1: 0 });
});

test('a sentence without an answer has a wrong intent and misses its slots; a record that is no sentence counts in no other number', (t) => {
  const answered = [sentence('x', 'B-a'), labels('x', 'B-a')] as const;
  t.deepEqual(measured([answered, [sentence('x', 'B-a'), undefined], [{ text: 'no sentence' }, undefined]]), {
    intentAccuracy: 0.5,
    slotPrecision: 1,
    slotRecall: 0.5,
    slotF1: 2 / 3,
    answered: 0.5,
    unread: 1,
  });
});

test('what is beside an answer names the slots that it misses and those that it makes up, by their words', (t) => {
  const item = { tokens: ['to', 'New', 'York', 'today'], tags: ['O', 'B-city', 'I-city', 'B-date'], intent: 'x' };
  const answer = labels('y', 'O B-city O B-date');
  t.deepEqual(tagging.each!({ item, answer }, {}), { intent: false, missed: ['city: New York'], extra: ['city: New'] });
});
