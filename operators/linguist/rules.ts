/** A5: rules V1 to V5 and V7, which one reply meets or not. V6 compares utterances with each other (novel.ts), and
 *  a tagger checks V8 (recognize.ts). */
import type { Segmentation } from '../../schemas/recipes/linguist.ts';
import { parsed, segmented, slotsIn, WILDCARD, type Piece } from './grammar.ts';
import type { Brief, Rule } from './records.ts';
import { wordsIn } from './words.ts';

/** Why an utterance is dropped, for each rule. */
export const reasons = {
  V1: 'v1-grammar',
  V2: 'v2-label',
  V3: 'v3-slots',
  V4: 'v4-value',
  V5: 'v5-wildcard',
  V6: 'v6-copy',
  V7: 'v7-type',
  V8: 'v8-intent',
} as const satisfies Record<Rule, string>;

export interface Checked {
  readonly rules: { readonly [rule in Rule]?: boolean };
  /** The utterance with its slot types; undefined if a rule is broken. */
  readonly pieces: readonly Piece<string>[] | undefined;
}

/**
 * V1: the reply is one annotated utterance. V2: every number has a label. V3: the numbers are those that the request includes, each as often.
 * V4: the values that it names stand there, whatever their case. V5: no wildcard is left. V7: the intent can have the slot types.
 */
export function check(reply: string, { language, include, labels, legal }: Brief, segmentation: Segmentation): Checked {
  const read = parsed(reply);
  const pieces = read && segmented(read, language, segmentation);
  if (!pieces || pieces.some(({ words }) => words.length === 0)) return { rules: { V1: false }, pieces: undefined };
  const slots = slotsIn(pieces);
  const valued = (number: number, words: readonly string[]) => `${number} ${words.join(' ').toLowerCase()}`;
  const named = include.flatMap(([number, value]) => (value === WILDCARD ? [] : [valued(number, wordsIn(value, language, segmentation))]));
  const rules = {
    V1: true,
    V2: slots.every(({ type }) => type in labels),
    V3: isSubset(counted(slots.map(({ type }) => type)), counted(include.map(([number]) => number))) && slots.length === include.length,
    V4: isSubset(counted(named), counted(slots.map(({ type, words }) => valued(type, words)))),
    V5: !pieces.some(({ words }) => words.includes(WILDCARD)),
    V7: slots.every(({ type }) => !(type in labels) || legal.includes(labels[type]!)),
  };
  if (!Object.values(rules).every(Boolean)) return { rules, pieces: undefined };
  return { rules, pieces: pieces.map(({ type, words }) => ({ type: type === null ? null : labels[type]!, words })) };
}

const counted = <T>(items: readonly T[]): ReadonlyMap<T, number> =>
  new Map([...Map.groupBy(items, (item) => item)].map(([item, some]) => [item, some.length]));
const isSubset = <T>(some: ReadonlyMap<T, number>, all: ReadonlyMap<T, number>): boolean =>
  [...some].every(([item, count]) => count <= (all.get(item) ?? 0));
