/** Defines the records of MuSC. */
import { z } from 'zod';
import { BackspinError } from '../../schemas/errors.ts';
import { faultOf } from '../../schemas/faults.ts';

export const query = z.object({ instruction: z.string() });
export type Query = Readonly<z.infer<typeof query>>;

/** Whether two texts differ only in white space and case. */
export const sameText = (one: string, other: string): boolean => normalized(one) === normalized(other);
const normalized = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').toLowerCase();

/** A decomposed instruction: its constraints (the first is the task itself) and the text that it is about. A blank text counts as none. */
export const demo = z.object({
  instruction: z.string(),
  input: z
    .string()
    .nullable()
    .default(null)
    .transform((text) => (text === null || text.trim() === '' ? null : text)),
  constraints: z.array(z.string()).min(1),
});
export type Demo = z.infer<typeof demo>;

/** Parses rows as demonstrations. Throws `SchemaError` for a row that is not one. */
export const parseDemos = (rows: readonly unknown[]): Demo[] =>
  rows.map((row, n) => {
    const { data, error } = demo.safeParse(row);
    if (error) throw new BackspinError('SchemaError', `Demonstration ${n + 1} of data.demos cannot be read: ${faultOf(error, row)}.`);
    return data;
  });

/** `shots` are the demonstrations for recombining: both instructions of a pair use the same. */
export const taken = demo.extend({ constraints: z.array(z.string()).min(2), shots: z.array(demo).default([]) });
export type Taken = z.infer<typeof taken>;

/** `corrupted` are the constraints after the noise, `touched` the original constraints that the noise changed. */
export const noised = taken.extend({ corrupted: z.array(z.string()).min(1), touched: z.array(z.string()).min(1) });
export type Noised = z.infer<typeof noised>;

/** The instruction with all constraints, and the instruction with the corrupted ones. */
export const twins = z.object({ original: z.string(), instruction: z.string(), corrupted: z.string(), touched: z.array(z.string()) });
export type Twins = z.infer<typeof twins>;

/** `chosen` answers the complete instruction, `rejected` the corrupted one. */
export const contrast = twins.extend({ chosen: z.string(), rejected: z.string() });
export type Contrast = z.infer<typeof contrast>;

const tokenValues = z.array(z.number());
/** For each token of an answer: log-probability and entropy under its own instruction and under the other, KL(other || own) and KL(own
 *  || other), and the unconditional log-probability, all in nats. */
export const confidence = z.object({
  hash: z.string(),
  ids: z.array(z.int()),
  own: tokenValues,
  other: tokenValues,
  ownEntropy: tokenValues,
  otherEntropy: tokenValues,
  kl: tokenValues,
  reverseKl: tokenValues,
  none: tokenValues.nullable(),
});
export type Confidence = z.infer<typeof confidence>;
export const scored = contrast.extend({ confidence: z.object({ chosen: confidence, rejected: confidence }) });
export type Scored = z.infer<typeof scored>;

/** An answer with a weight for each token. `hash` identifies the tokenizer and chat template that made the token ids. */
const weighed = z.object({ text: z.string(), hash: z.string(), ids: z.array(z.int()), weights: tokenValues });
export const weightedPair = twins.extend({ chosen: weighed, rejected: weighed });
export type WeightedPair = z.infer<typeof weightedPair>;
