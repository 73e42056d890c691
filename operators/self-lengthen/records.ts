/** Defines the records of Self-Lengthen: seeds -> instruction -> draft -> extended text -> text with a demanded length. */
import { z } from 'zod';
import { lengthDemand } from './lengths.ts';

const text = z.string().min(1).regex(/\S/, 'it is blank');
const words = z.int().min(0);

/** Teaches a base that follows no requests: `prompt` is what it is asked. */
export const lesson = z.object({ prompt: text, reply: text });
export type Lesson = Readonly<z.infer<typeof lesson>>;

export const seed = z.object({ instruction: text });
export type Seed = Readonly<z.infer<typeof seed>>;

/** Seeds drawn for one new instruction. */
export const drawn = z.object({ drawn: z.array(seed).readonly() });

/** `words` counts as `countWords` does. */
export const piece = seed.extend({ text, words });
export type Piece = Readonly<z.infer<typeof piece>>;

/** `initial` is the draft that `text` extends. */
export const extended = piece.extend({ initial: text });
export type Extended = Readonly<z.infer<typeof extended>>;

/** `outline` is the draft without some of its lines. */
export const thinned = extended.extend({ outline: text });
export type Thinned = Readonly<z.infer<typeof thinned>>;

/** `phrase` says the demand, and `numbers` are the numbers in it. */
export const demanding = piece.extend({ demand: lengthDemand, phrase: text, numbers: z.array(text).readonly() });
export type Demanding = Readonly<z.infer<typeof demanding>>;

/** `instruction` demands the length; `bare` is the instruction for which the text was written. */
export const demanded = demanding.omit({ phrase: true, numbers: true }).extend({ bare: text });
export type Demanded = Readonly<z.infer<typeof demanded>>;
