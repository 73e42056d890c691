/** Defines the records of AIR: document -> initial instruction -> refined one -> merged one with its response. */
import { z } from 'zod';
import { wordsOf as wordsIn } from '../std/shingles.ts';

const text = z.string().min(1).regex(/\S/, 'it is blank');

export const source = z.object({ text });
export type Source = Readonly<z.infer<typeof source>>;

export const started = source.extend({ instruction: text });
export type Started = Readonly<z.infer<typeof started>>;

export const rated = started.extend({ score: z.int().min(0).max(5) });
export type Rated = Readonly<z.infer<typeof rated>>;

/** One iteration: the constraint that the judge added, the student's answer to the extended instruction, and how well the answer meets
 *  the constraint (0 to 3). null: the answer or the score cannot be read. */
export const step = z.object({
  type: text,
  constraint: text,
  output: text.nullable(),
  satisfied: z.int().min(0).max(3).nullable(),
});
export type Step = Readonly<z.infer<typeof step>>;

/** Why the iterations for a document ended. */
export const ending = z.enum(['iterations', 'types', 'none', 'unreadable', 'truncated', 'duplicate', 'no-answer']);
export type Ending = z.infer<typeof ending>;

/** `answer` is the student's answer to the initial instruction. `said` is the reply that ended the iterations. */
export const refined = rated.extend({ polished: text, answer: text, steps: z.array(step), ended: ending, said: z.string().nullable() });
export type Refined = Readonly<z.infer<typeof refined>>;

/** `constraints` belong to `instruction`, in the order that the merge received them. */
export const merged = z.object({ initial: text, constraints: z.array(text), document: text, instruction: text });
export type Merged = Readonly<z.infer<typeof merged>>;

/** `by`: the model that wrote `response`. The response is distilled; it does not come from the document. */
export const complex = merged.extend({ response: text, by: z.literal('guidance') });
export type Complex = Readonly<z.infer<typeof complex>>;

/** Training data for a guidance model: a prompt and the reply that it should give. */
export const lesson = z.object({ prompt: text, reply: text });
export type Lesson = Readonly<z.infer<typeof lesson>>;

/** Counts words; each Han character counts as one. */
export const wordsOf = (text: string): number => wordsIn(text).length;
