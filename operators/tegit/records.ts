/** Defines the records of TeGit: document -> task that is grounded in it. */
import { z } from 'zod';

const text = z.string().min(1).regex(/\S/, 'it is blank');

export const source = z.object({ text });
export type Source = Readonly<z.infer<typeof source>>;

/** A task: `input` is the text that the instruction is about, and may be empty. `text` is the source document. */
export const task = source.extend({ instruction: text, input: z.string().default(''), output: text });
export type Task = Readonly<z.infer<typeof task>>;

/** `grounding`: share of the output's word 3-grams that the document contains. */
export const grounded = task.extend({ grounding: z.number().min(0).max(1) });
export type Grounded = Readonly<z.infer<typeof grounded>>;
