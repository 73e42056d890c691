/** What flows through Humpback: segment -> pair -> judged pair. */
import { z } from 'zod';

/** Of a blank one nothing can be asked or learnt. */
const text = z.string().min(1).regex(/\S/, 'it is blank');

export const segment = z.object({ text });
export type Segment = Readonly<z.infer<typeof segment>>;

export const pair = z.object({ instruction: text, response: text });
export type Pair = Readonly<z.infer<typeof pair>>;

/** `judgement` is what the score was read from. */
export const judged = pair.extend({ score: z.number(), judgement: z.string() });
export type Judged = Readonly<z.infer<typeof judged>>;

/** A row of a training set, with the part that it came from. */
export const labelled = pair.extend({ part: z.enum(['seed', 'augmented', 'replay']) });
export type Labelled = Readonly<z.infer<typeof labelled>>;
