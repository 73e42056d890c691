/** Defines the records of MAIN. */
import { z } from 'zod';
import { pair } from '../humpback/records.ts';

/** The side that the model learns: the response to an instruction, or the instruction of a response. */
export const direction = z.enum(['forward', 'reverse']);
export type Direction = z.infer<typeof direction>;

/** A human pair, and a generated replacement for the given side. */
export const imagined = pair.extend({ imagined: z.string() });
export type Imagined = Readonly<z.infer<typeof imagined>>;

/** Nats per token of the learnt side, given the generated side and given the human side. */
export const measured = imagined.extend({ imaginedNll: z.number(), seedNll: z.number() });
export type Measured = Readonly<z.infer<typeof measured>>;

/** A training row: `weight` scales its loss, rows of one `group` share a batch. */
export const row = pair.extend({ weight: z.number().exactOptional(), group: z.string().exactOptional() });
export type Row = Readonly<z.infer<typeof row>>;

/** Nats per token of the response, given the instruction. */
export const agreed = pair.extend({ nll: z.number() });
export type Agreed = Readonly<z.infer<typeof agreed>>;
