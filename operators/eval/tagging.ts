/** Intent classification and slot tagging: how a tagger labels sentences whose labels are known. */
import { z } from 'zod';
import { taggerSuite, type Dataset, type Labels, type Tagged } from '../../recipe/index.ts';
import { slotsOf, type Slot } from './slots.ts';

const sentence = z
  .object({
    tokens: z.array(z.string().regex(/\S/, 'it is blank')).min(1),
    tags: z.array(z.string().regex(/^(O|[BI]-.+)$/, 'it is no BIO tag')),
    intent: z.string().regex(/\S/, 'it is blank'),
  })
  .refine(({ tokens, tags }) => tokens.length === tags.length, { path: ['tags'], message: 'they are not as many as the tokens' });

const params = z.strictObject({
  test: z.custom<Dataset<Tagged>>(() => false, 'name the dataset beside the suite, as `data`').exactOptional(),
  intent: z.string().exactOptional().describe('The intent of the local numbers. Default: none, so there are no local numbers.'),
});

/** A sentence with its labels and those of the tagger; undefined: the tagger had none for it. */
interface Answered {
  readonly item: Tagged;
  readonly answer: Labels | undefined;
}

/**
 * Labels sentences and compares: `intentAccuracy` is the share of sentences with the right intent. A slot is right if its type and both its
 * ends are; `slotPrecision`, `slotRecall` and `slotF1` count the slots of all sentences together, as seqeval does by default. With
 * `intent`, `intentRecall` is the share of its own sentences that get it, and `localSlotF1` is the F1 of their slots. A sentence without
 * labels has a wrong intent and no slot. A number without anything to count is 0. `unread`: records that are no such sentence; they count
 * in none of the other numbers.
 */
export const tagging = taggerSuite({
  version: 1,
  params,
  input: sentence,
  measure(answers, { intent }) {
    const read: Answered[] = answers.filter(({ item }) => sentence.safeParse(item).success);
    const local = read.filter(({ item }) => item.intent === intent);
    const all = slotScores(read);
    return {
      intentAccuracy: intentsRight(read),
      slotPrecision: all.precision,
      slotRecall: all.recall,
      slotF1: all.f1,
      ...(intent !== undefined && { intentRecall: intentsRight(local), localSlotF1: slotScores(local).f1 }),
      answered: ratio(read.filter(({ answer }) => answer !== undefined).length, read.length),
      unread: answers.length - read.length,
    };
  },
  /** Whether the intent is right, the slots that the tagger missed, and those that it made up; each slot with its words. */
  each({ item, answer }) {
    const { missed, extra } = compared({ item, answer });
    const worded = ({ type, from, to }: Slot) => `${type}: ${item.tokens.slice(from, to + 1).join(' ')}`;
    return { intent: item.intent === answer.intent, missed: missed.map(worded), extra: extra.map(worded) };
  },
});

const ratio = (count: number, of: number): number => (of === 0 ? 0 : count / of);

const intentsRight = (answers: readonly Answered[]): number =>
  ratio(answers.filter(({ item, answer }) => item.intent === answer?.intent).length, answers.length);

/** Right slots, those that are in the labels alone, and those that only the tagger found. */
function compared({ item, answer }: Answered): { readonly right: Slot[]; readonly missed: Slot[]; readonly extra: Slot[] } {
  const [gold, found] = [slotsOf(item.tags), slotsOf(answer?.tags ?? [])];
  const isIn = (slots: readonly Slot[]) => (one: Slot) =>
    slots.some(({ type, from, to }) => type === one.type && from === one.from && to === one.to);
  return {
    right: gold.filter(isIn(found)),
    missed: gold.filter((slot) => !isIn(found)(slot)),
    extra: found.filter((slot) => !isIn(gold)(slot)),
  };
}

/** Of the slots of all sentences together. */
function slotScores(answers: readonly Answered[]): { readonly precision: number; readonly recall: number; readonly f1: number } {
  let [right, missed, extra] = [0, 0, 0];
  for (const one of answers) {
    const slots = compared(one);
    right += slots.right.length;
    missed += slots.missed.length;
    extra += slots.extra.length;
  }
  return { precision: ratio(right, right + extra), recall: ratio(right, right + missed), f1: ratio(2 * right, 2 * right + missed + extra) };
}
