/** What flows through Humpback: segment -> pair -> judged pair. */
import { z } from 'zod';

export const segment = z.object({ text: z.string().min(1) });
export type Segment = Readonly<z.infer<typeof segment>>;

export const pair = z.object({ instruction: z.string(), response: z.string() });
export type Pair = Readonly<z.infer<typeof pair>>;

/** `judgement` is what the score was read from. */
export const judged = pair.extend({ score: z.number(), judgement: z.string() });
export type Judged = Readonly<z.infer<typeof judged>>;

/** A row of a training set, with the part that it came from. */
export const labelled = pair.extend({ part: z.enum(['seed', 'augmented', 'replay']) });
export type Labelled = Readonly<z.infer<typeof labelled>>;
