/** The constraints of CRAB that its code makes by rules (2410.24175). Each is checked as it is worded. */
import { z } from 'zod';
import { amount } from './ifeval-content.ts';
import { kind } from './kind.ts';
import { literal, paragraphsOf, sentencesOf, wordsOf } from './text.ts';

const count = z.int().min(0);
const most = z.strictObject({ atMost: count });

/** "Around" a number of words: less than ten away, or a tenth. */
const isAround = (found: number, wanted: number): boolean => Math.abs(found - wanted) < Math.max(10, wanted / 10);
export const charactersOf = (word: string): number => Array.from(word).length;

/** The marks that an answer may have to do without, with those of other scripts. */
export const marks = { ',': /[,，،、]/, ':': /[:：]/, '?': /[?？؟]/, '!': /[!！]/ } as const;
const names = { ',': 'comma', ':': 'colon', '?': 'question mark', '!': 'exclamation mark' } as const;

export const crabKinds = {
  'crab:words': kind(
    z
      .strictObject({ atLeast: count.exactOptional(), atMost: count.exactOptional(), around: count.exactOptional() })
      .refine((limits) => Object.keys(limits).length > 0, 'a limit is needed: atLeast, atMost or around'),
    ({ atLeast, atMost, around }) => {
      if (around !== undefined) return [`Write about ${amount(around, 'word')}.`, `Your answer has around ${amount(around, 'word')}.`];
      if (atLeast === undefined) return [`Write at most ${amount(atMost!, 'word')}.`, `Keep to ${amount(atMost!, 'word')} or fewer.`];
      if (atMost === undefined)
        return [`Write at least ${amount(atLeast, 'word')}.`, `Your answer needs ${amount(atLeast, 'word')} or more.`];
      return [
        `Write ${atLeast} to ${amount(atMost, 'word')}.`,
        `Your answer has at least ${atLeast} and at most ${amount(atMost, 'word')}.`,
      ];
    },
    (value, { atLeast = 0, atMost = Infinity, around }) => {
      const found = wordsOf(value).length;
      return found >= atLeast && found <= atMost && (around === undefined || isAround(found, around));
    },
  ),
  'crab:sentence': kind(
    most,
    ({ atMost }) => [`Each sentence has at most ${amount(atMost, 'word')}.`, `Write no sentence of more than ${amount(atMost, 'word')}.`],
    (value, { atMost }) => sentencesOf(value).every((sentence) => wordsOf(sentence).length <= atMost),
  ),
  'crab:paragraph': kind(
    most,
    ({ atMost }) => [
      `Each paragraph has at most ${amount(atMost, 'sentence')}.`,
      `Write no paragraph of more than ${amount(atMost, 'sentence')}.`,
    ],
    (value, { atMost }) => paragraphsOf(value).every((paragraph) => sentencesOf(paragraph).length <= atMost),
  ),
  'crab:word': kind(
    z
      .strictObject({ atLeast: count.exactOptional(), atMost: count.exactOptional() })
      .refine((limits) => Object.keys(limits).length > 0, 'a limit is needed: atLeast or atMost'),
    ({ atLeast, atMost }) => {
      const range = [
        ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
        ...(atMost === undefined ? [] : [`at most ${atMost}`]),
      ].join(' and ');
      return [`Each word has ${range} characters.`, `Use only words of ${range} characters.`];
    },
    (value, { atLeast = 0, atMost = Infinity }) =>
      wordsOf(value).every((word) => charactersOf(word) >= atLeast && charactersOf(word) <= atMost),
  ),
  'crab:keyword': kind(
    z.strictObject({ keywords: z.array(z.string().regex(/\S/, 'it is blank')).min(1) }),
    ({ keywords }) => {
      const quoted = keywords.map((one) => `"${one}"`).join(', ');
      return [`Use these keywords: ${quoted}.`, `Your answer mentions ${quoted}.`];
    },
    (value, { keywords }) => keywords.every((keyword) => literal(keyword, 'iu').test(value)),
  ),
  'crab:punctuation': kind(
    z.strictObject({ without: z.enum(Object.keys(marks) as (keyof typeof marks)[]) }),
    ({ without }) => [`Use no ${names[without]}.`, `Write without any ${names[without]}s.`],
    (value, { without }) => !marks[without].test(value),
  ),
};
