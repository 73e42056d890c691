/** Derives constraints from a response by rules (2410.24175, code): each is true of it by construction. */
import { codePoints } from '../lengths.ts';
import { charactersOf, marks } from '../rules/crab.ts';
import { describeRule, type Rule } from '../rules/index.ts';
import { paragraphsOf, sentencesOf, wordsOf } from '../rules/text.ts';
import { keywordsOf } from './keywords.ts';
import type { Constraint } from './records.ts';

type Random = () => number;
/** `reference`: as in the published code, where two of the rules are false of what they are derived from. */
export type RuleSet = 'corrected' | 'reference';

/** Types of the constraints that code derives and checks; no model is asked about them. */
export const ruleTypes = [
  'length',
  'words_per_sentence',
  'sentences_per_paragraph',
  'characters_per_word',
  'keywords',
  'punctuation',
] as const;
type RuleType = (typeof ruleTypes)[number];

/** A whole number from `min` to `max`. */
export const between = (min: number, max: number, random: Random): number => min + Math.floor(random() * (max - min + 1));
const upToFive = (number: number): number => Math.ceil(number / 5) * 5;

/** Tens of words below and above, and one of four forms. Fewer than ten words: 3, 20 and 10, or what the response has. */
function lengthOf(response: string, random: Random): Rule {
  const words = wordsOf(response).length;
  const tens = Math.floor(words / 10);
  const atLeast = tens === 0 ? Math.min(3, words) : 10 * tens - 10 * Math.min(between(0, tens - 1, random), 2);
  const atMost = tens === 0 ? 20 : 10 * (tens + 1) + 10 * between(0, 2, random);
  const around = tens === 0 ? 10 : 10 * tens;
  const forms = [{ atLeast, atMost }, { atLeast }, { atMost }, { around }];
  return { id: 'crab:words', params: forms[between(0, 3, random)]! };
}

const most = (numbers: readonly number[]): number => numbers.reduce((most, number) => Math.max(most, number), 0);

/** The rules of a response by type; a type may have none. */
function rulesOf(response: string, rules: RuleSet, random: Random): readonly (readonly [RuleType, Rule | undefined])[] {
  const perSentence = most(sentencesOf(response).map((sentence) => wordsOf(sentence).length));
  const perParagraph = paragraphsOf(response).map((paragraph) => sentencesOf(paragraph).length);
  const sentences = rules === 'reference' ? Math.min(...perParagraph) : most(perParagraph);
  const characters = most(wordsOf(response).map(charactersOf));
  const keywords = keywordsOf(response, Math.min(Math.floor(codePoints(response) / 10), 3));
  const without = (Object.keys(marks) as (keyof typeof marks)[]).find((mark) => !marks[mark].test(response));
  return [
    ['length', lengthOf(response, random)],
    ['words_per_sentence', perSentence > 5 ? { id: 'crab:sentence', params: { atMost: upToFive(perSentence) } } : undefined],
    [
      'sentences_per_paragraph',
      sentences > 1 ? { id: 'crab:paragraph', params: { atMost: sentences + between(0, 2, random) } } : undefined,
    ],
    [
      'characters_per_word',
      characters > 3 ? { id: 'crab:word', params: { [rules === 'reference' ? 'atLeast' : 'atMost']: upToFive(characters) } } : undefined,
    ],
    ['keywords', keywords.length > 0 ? { id: 'crab:keyword', params: { keywords } } : undefined],
    ['punctuation', without === undefined ? undefined : { id: 'crab:punctuation', params: { without } }],
  ];
}

/** R1: at most one constraint of each type, with its rule, in one of the wordings. */
export const deriveConstraints = (response: string, rules: RuleSet, random: Random): Constraint[] =>
  rulesOf(response, rules, random).flatMap(([type, rule]) => (rule ? { type, text: describeRule(rule, random()), rule } : []));
