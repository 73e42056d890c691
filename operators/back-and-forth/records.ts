/** What flows through back-and-forth translation: document -> pair -> judged pair -> rewritten pair. */
import { z } from 'zod';
import { pair, segment } from '../humpback/records.ts';

/** `split`: which part of its corpus it is of. */
export const document = segment.extend({ split: z.string().nullish() });
export type Document = Readonly<z.infer<typeof document>>;

/** A response that is to be rewritten, judged or not. */
export const draft = pair.extend({ score: z.number().exactOptional() });

/** `draft` is the response that it was, and `score` what that one was judged. */
export const rewritten = draft.extend({ draft: z.string() });
export type Rewritten = Readonly<z.infer<typeof rewritten>>;
