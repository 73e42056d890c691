/** Defines the records of Kun: text -> measured text -> labelled text -> pair. */
import { z } from 'zod';
import { pair, segment } from '../humpback/records.ts';

/** `tokens` and `perplexity` are measured by the reader model. */
export const read = segment.extend({ tokens: z.int().min(1), perplexity: z.number() });
export type Read = Readonly<z.infer<typeof read>>;

/** A text and the instruction that the label model wrote for it. */
export const labelled = segment.extend({ instruction: pair.shape.instruction });
export type Labelled = Readonly<z.infer<typeof labelled>>;

/** `verdict` is the judge's reply about the instruction. */
export const judged = labelled.extend({ verdict: z.string().exactOptional() });
export type Judged = Readonly<z.infer<typeof judged>>;

/** The answer model wrote `response` from `text`. */
export const polished = judged.extend({ response: pair.shape.response });
export type Polished = Readonly<z.infer<typeof polished>>;
