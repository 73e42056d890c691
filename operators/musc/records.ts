/** What flows through MuSC. */
import { z } from 'zod';
import { BackspinError } from '../../schemas/errors.ts';
import { faultOf } from '../../schemas/faults.ts';

export const query = z.object({ instruction: z.string() });
export type Query = Readonly<z.infer<typeof query>>;

/** Whether two texts differ in no more than spaces and case: to a model they say the same. */
export const same = (one: string, other: string): boolean => bare(one) === bare(other);
const bare = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').toLowerCase();

/** An instruction in parts: what it asks for, with which constraints (the first of them is the task itself), about which text. A blank
 *  text is none. */
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

/** Rows as they were given. Throws `SchemaError` for one that is no demonstration. */
export const demosIn = (rows: readonly unknown[]): Demo[] =>
  rows.map((row, n) => {
    const { data, error } = demo.safeParse(row);
    if (error) throw new BackspinError('SchemaError', `Demonstration ${n + 1} of data.demos cannot be read: ${faultOf(error, row)}.`);
    return data;
  });

/** `shots` are what it is put together again by: both of its instructions see the same. */
export const taken = demo.extend({ constraints: z.array(z.string()).min(2), shots: z.array(demo).default([]) });
export type Taken = z.infer<typeof taken>;

/** `corrupted` are the constraints after the noise, `touched` those of the originals that it fell on. */
export const noised = taken.extend({ corrupted: z.array(z.string()).min(1), touched: z.array(z.string()).min(1) });
export type Noised = z.infer<typeof noised>;

/** The instruction with all of its constraints, and the same without those that were touched. */
export const twins = z.object({ original: z.string(), instruction: z.string(), corrupted: z.string(), touched: z.array(z.string()) });
export type Twins = z.infer<typeof twins>;

/** `chosen` answers the whole instruction, `rejected` the corrupted one. */
export const contrast = twins.extend({ chosen: z.string(), rejected: z.string() });
export type Contrast = z.infer<typeof contrast>;

const each = z.array(z.number());
/** Of each token of an answer: log-probability and entropy under its own instruction and under the other, KL(other || own) and
 *  KL(own || other), and the log-probability without any instruction, all in nats. */
export const confidence = z.object({
  hash: z.string(),
  ids: z.array(z.int()),
  own: each,
  other: each,
  ownEntropy: each,
  otherEntropy: each,
  kl: each,
  reverseKl: each,
  none: each.nullable(),
});
export type Confidence = z.infer<typeof confidence>;
export const scored = contrast.extend({ confidence: z.object({ chosen: confidence, rejected: confidence }) });
export type Scored = z.infer<typeof scored>;

/** An answer whose tokens count as much as they are weighed; made of `text` by the tokenizer and chat template that `hash` tells. */
const weighed = z.object({ text: z.string(), hash: z.string(), ids: z.array(z.int()), weights: each });
export const weightedPair = twins.extend({ chosen: weighed, rejected: weighed });
export type WeightedPair = z.infer<typeof weightedPair>;
