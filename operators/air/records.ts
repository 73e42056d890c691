/** What flows through AIR: document -> initial instruction -> refined one -> merged one with its response. */
import { z } from 'zod';
import { wordsOf as wordsIn } from '../std/shingles.ts';

const text = z.string().min(1).regex(/\S/, 'it is blank');

export const source = z.object({ text });
export type Source = Readonly<z.infer<typeof source>>;

export const started = source.extend({ instruction: text });
export type Started = Readonly<z.infer<typeof started>>;

export const rated = started.extend({ score: z.int().min(0).max(5) });
export type Rated = Readonly<z.infer<typeof rated>>;

/** One iteration: the constraint that the judge added, the student's answer once it was told of it, and how well that meets it (0 to 3).
 *  null: the answer, or the score, could not be read. */
export const step = z.object({
  type: text,
  constraint: text,
  output: text.nullable(),
  satisfied: z.int().min(0).max(3).nullable(),
});
export type Step = Readonly<z.infer<typeof step>>;

/** Why a document has no further iteration. */
export const ending = z.enum(['iterations', 'types', 'none', 'unreadable', 'truncated', 'duplicate', 'no-answer']);
export type Ending = z.infer<typeof ending>;

/** `answer` is the student's to the initial instruction. `said` is the reply that ended it. */
export const refined = rated.extend({ polished: text, answer: text, steps: z.array(step), ended: ending, said: z.string().nullable() });
export type Refined = Readonly<z.infer<typeof refined>>;

/** `constraints` are those of `instruction`, in the order that the merge was given them. */
export const merged = z.object({ initial: text, constraints: z.array(text), document: text, instruction: text });
export type Merged = Readonly<z.infer<typeof merged>>;

/** `by`: whose words `response` are. It is distilled, not the document's. */
export const complex = merged.extend({ response: text, by: z.literal('guidance') });
export type Complex = Readonly<z.infer<typeof complex>>;

/** What teaches a guidance model its work: what it is asked, and what it should say. */
export const lesson = z.object({ prompt: text, reply: text });
export type Lesson = Readonly<z.infer<typeof lesson>>;

/** A Han character is a word. */
export const wordsOf = (text: string): number => wordsIn(text).length;
