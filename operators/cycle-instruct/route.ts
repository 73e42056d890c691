/** Raw material becomes questions and answers that have nothing to do with each other. */
import { z } from 'zod';
import { drop, keep, operator, reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { weightOf } from '../lengths.ts';
import { passage, type Answer, type Pair, type Passage, type Question } from './records.ts';

type Sides = {
  readonly questions: Dataset<Question>;
  readonly answers: Dataset<Answer>;
};

/** Lines with nothing but blanks, those of full width too, end a paragraph, as a paragraph separator does. */
const gap = /\r\n?(?:[^\S\r\n\u2029]*\r\n?)+|\n(?:[^\S\n\u2029]*\n)+|\u2029/;

/** The paragraphs of a document, or a document as it is: a turn of a dialogue, say. `shortest` in characters, of which a Han, Kana or Hangul
 *  one counts twice. */
export const passages = operator({
  version: 2,
  input: passage,
  output: passage,
  params: z.object({ split: z.enum(['paragraphs', 'none']), shortest: z.int() }),
  maxRows: ({ split }) => (split === 'none' ? 1 : Infinity),
  run({ text }, _, { split, shortest }) {
    const parts = (split === 'none' ? [text] : text.split(gap)).map((part) => part.trim());
    const [first, ...others] = parts.filter((part) => weightOf(part) >= shortest).map((part) => ({ text: part }));
    return first ? keep(first, ...others) : drop('too-short', text);
  },
});

/** The characters whose name in Unicode says QUESTION MARK or INTERROBANG, and a semicolon behind a Greek letter, which is one there. */
const questionMark =
  /[?\u00bf\u037e\u055e\u061f\u1367\u1945\u203d\u2047-\u2049\u2753\u2754\u2cfa\u2cfb\u2e18\u2e2e\u2e54\ua60f\ua6f7\ufe16\ufe56\uff1f\u{11143}\u{1e95f}\u{1f679}-\u{1f67b}\u{1fbc4}]|\p{Script=Greek}[»”"'’)]*;/u;

/** Question-like is what holds a question mark of any script; all else is answer-like. Equal texts count once. */
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

/** Of one half of the pairs, drawn by lot, the instruction, and of the other the response. What is left knows nothing of the side that
 *  went: not by its id, nor by the lots, which follow from `seed` and a pair's place alone. Equal texts count once; a pair whose half is no
 *  text is dropped. */
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
      const text: unknown = record.value[side]; // no operator has read it
      if (typeof text !== 'string' || text.trim() === '') {
        yield { record, dropped: typeof text === 'string' ? 'empty' : 'invalid', evidence: `it has no text in "${side}"` };
        continue;
      }
      if (!seen.has(text)) yield { record: derive(output === 'questions' ? { question: text } : { answer: text }, []), output };
      seen.add(text);
    }
  },
});
