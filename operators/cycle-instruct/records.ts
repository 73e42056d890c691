/** What flows through Cycle-Instruct. */
import { z } from 'zod';

export const passage = z.object({ text: z.string() });
export type Passage = Readonly<z.infer<typeof passage>>;

export const question = z.object({ question: z.string() });
export type Question = Readonly<z.infer<typeof question>>;

export const answer = z.object({ answer: z.string() });
export type Answer = Readonly<z.infer<typeof answer>>;

/** A side as it was found, and what a model is shown of it where it was written anew. The found text is what is learnt. */
export const foundQuestion = question.extend({ shown: z.string().exactOptional() });
export type FoundQuestion = Readonly<z.infer<typeof foundQuestion>>;
export const foundAnswer = answer.extend({ shown: z.string().exactOptional() });
export type FoundAnswer = Readonly<z.infer<typeof foundAnswer>>;

/** A side that was found in text, its `original`, and the other, which a model wrote for it. */
export const qa = z.object({ question: z.string(), answer: z.string(), original: z.enum(['question', 'answer']) });
export type QA = Readonly<z.infer<typeof qa>>;

/** And the original side once more, as the opposite model writes it for what was written: `found` again, or not. */
export const cycled = qa.extend({ found: z.string(), again: z.string() });
export type Cycled = Readonly<z.infer<typeof cycled>>;

/** And how far the one lies from the other, in the cluster of what was found. */
export const lying = cycled.extend({ cluster: z.int(), distance: z.number() });
export type Lying = Readonly<z.infer<typeof lying>>;

/** A pair of an instruction set, one side of which is thrown away. */
export const pair = z.object({ instruction: z.string(), response: z.string() });
export type Pair = Readonly<z.infer<typeof pair>>;
