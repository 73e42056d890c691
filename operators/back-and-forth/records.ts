/** Defines the records of back-and-forth translation: document -> pair -> judged pair -> rewritten pair. */
import { z } from 'zod';
import { pair, segment } from '../humpback/records.ts';

/** `split`: the split of the corpus that the document belongs to. */
export const document = segment.extend({ split: z.string().nullish() });
export type Document = Readonly<z.infer<typeof document>>;

/** A response to rewrite, judged or not. */
export const draft = pair.extend({ score: z.number().exactOptional() });

/** `draft` is the response before rewriting, and `score` the score of that draft. */
export const rewritten = draft.extend({ draft: z.string() });
export type Rewritten = Readonly<z.infer<typeof rewritten>>;
