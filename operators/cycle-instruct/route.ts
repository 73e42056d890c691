/** Splits raw text or pairs into unrelated questions and answers. */
import { z } from 'zod';
import { drop, keep, operator, reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { weightOf } from '../lengths.ts';
import { passage, type Answer, type Pair, type Passage, type Question } from './records.ts';

type Sides = {
  readonly questions: Dataset<Question>;
  readonly answers: Dataset<Answer>;
};

/** A blank line (also of full-width spaces) or a paragraph separator ends a paragraph. */
const paragraphBreak = /\r\n?(?:[^\S\r\n\u2029]*\r\n?)+|\n(?:[^\S\n\u2029]*\n)+|\u2029/;

/** Splits a document into paragraphs, or keeps it whole (a dialogue turn, for example). `shortest` is in characters; Han, Kana and
 *  Hangul count twice. */
export const passages = operator({
  version: 2,
  input: passage,
  output: passage,
  params: z.object({ split: z.enum(['paragraphs', 'none']), shortest: z.int() }),
  maxRows: ({ split }) => (split === 'none' ? 1 : Infinity),
  run({ text }, _, { split, shortest }) {
    const parts = (split === 'none' ? [text] : text.split(paragraphBreak)).map((part) => part.trim());
    const [first, ...others] = parts.filter((part) => weightOf(part) >= shortest).map((part) => ({ text: part }));
    return first ? keep(first, ...others) : drop('too-short', text);
  },
});

/** Characters whose Unicode name contains QUESTION MARK or INTERROBANG, and a semicolon after a Greek letter, which is the Greek
 *  question mark. */
const questionMark =
  /[?\u00bf\u037e\u055e\u061f\u1367\u1945\u203d\u2047-\u2049\u2753\u2754\u2cfa\u2cfb\u2e18\u2e2e\u2e54\ua60f\ua6f7\ufe16\ufe56\uff1f\u{11143}\u{1e95f}\u{1f679}-\u{1f67b}\u{1fbc4}]|\p{Script=Greek}[»”"'’)]*;/u;

/** Texts with a question mark of any script are questions, all others answers. Duplicates are dropped. */
export const byQuestionMark = reducer<{ readonly of: MaybePromise<Dataset<Passage>> }, Sides>({
  version: 2,
  outputs: ['questions', 'answers'],
  async *run({ of }, _, { derive }) {
    const seen = new Set<string>();
    for await (const record of of) {
      const { text } = record.value;
      if (seen.has(text)) yield { record, dropped: 'duplicate' };
      else if (questionMark.test(text)) yield { record: derive({ question: text }, [record]), output: 'questions' };
      else yield { record: derive({ answer: text }, [record]), output: 'answers' };
      seen.add(text);
    }
  },
});

/** Keeps only the instruction of one random half of the pairs, and only the response of the other. Record ids and the random choice do
 *  not depend on the discarded side: the choice follows from `seed` and the pair's position. Duplicate texts count once; a pair whose
 *  kept side is not a text is dropped. */
export const breakPairs = reducer<{ readonly of: MaybePromise<Dataset<Pair>> }, Sides, { readonly seed: number }>({
  version: 2,
  params: z.object({ seed: z.int() }),
  skipsConservation: true,
  outputs: ['questions', 'answers'],
  async *run({ of }, { seed }, { derive }) {
    const lots = Array.from({ length: of.rows }, (_, at) => sha256(`${seed}/${at}`));
    const middle = lots.toSorted()[Math.floor(of.rows / 2)];
    const seen = new Set<string>();
    let at = 0;
    for await (const record of of) {
      const output = lots[at++]! < middle! ? 'questions' : 'answers';
      const side = output === 'questions' ? 'instruction' : 'response';
      const text: unknown = record.value[side]; // no schema has checked it
      if (typeof text !== 'string' || text.trim() === '') {
        yield { record, dropped: typeof text === 'string' ? 'empty' : 'invalid', evidence: `it has no text in "${side}"` };
        continue;
      }
      if (!seen.has(text)) yield { record: derive(output === 'questions' ? { question: text } : { answer: text }, []), output };
      seen.add(text);
    }
  },
});
