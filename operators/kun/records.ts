/** What flows through Kun: text -> text that was read -> labelled text -> pair. */
import { z } from 'zod';
import { pair, segment } from '../humpback/records.ts';

/** `tokens` and `perplexity` are those of the model that read it. */
export const read = segment.extend({ tokens: z.int().min(1), perplexity: z.number() });
export type Read = Readonly<z.infer<typeof read>>;

/** A text and the instruction that was written for it. */
export const labelled = segment.extend({ instruction: pair.shape.instruction });
export type Labelled = Readonly<z.infer<typeof labelled>>;

/** `verdict` is what the judge said of the instruction. */
export const judged = labelled.extend({ verdict: z.string().exactOptional() });
export type Judged = Readonly<z.infer<typeof judged>>;

/** `response` was written by the answer model; `text` is what it was made of. */
export const polished = judged.extend({ response: pair.shape.response });
export type Polished = Readonly<z.infer<typeof polished>>;
