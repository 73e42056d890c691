/** Defines the records of Humpback: segment -> pair -> judged pair. */
import { z } from 'zod';

/** A blank text gives nothing to ask or learn. */
const text = z.string().min(1).regex(/\S/, 'it is blank');

export const segment = z.object({ text });
export type Segment = Readonly<z.infer<typeof segment>>;

export const pair = z.object({ instruction: text, response: text });
export type Pair = Readonly<z.infer<typeof pair>>;

/** `judgement` is the text that the score was parsed from. */
export const judged = pair.extend({ score: z.number(), judgement: z.string() });
export type Judged = Readonly<z.infer<typeof judged>>;

/** A row of a training set, with the name of its part. */
export const labelled = pair.extend({ part: z.enum(['seed', 'augmented', 'replay']) });
export type Labelled = Readonly<z.infer<typeof labelled>>;
