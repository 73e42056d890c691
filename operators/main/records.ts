/** What flows through MAIN. */
import { z } from 'zod';
import { pair } from '../humpback/records.ts';

/** Which side is learnt: the response of an instruction, or the instruction of a response. */
export const direction = z.enum(['forward', 'reverse']);
export type Direction = z.infer<typeof direction>;

/** A pair by people, and what a model put in the place of the side that is given. */
export const imagined = pair.extend({ imagined: z.string() });
export type Imagined = Readonly<z.infer<typeof imagined>>;

/** Mean nats a token of the side that is learnt, given what was imagined and given what people wrote. */
export const measured = imagined.extend({ imaginedNll: z.number(), seedNll: z.number() });
export type Measured = Readonly<z.infer<typeof measured>>;

/** A training row: `weight` scales its loss, rows of one `group` share a batch. */
export const row = pair.extend({ weight: z.number().exactOptional(), group: z.string().exactOptional() });
export type Row = Readonly<z.infer<typeof row>>;

/** Mean nats a token of the response, given the instruction. */
export const agreed = pair.extend({ nll: z.number() });
export type Agreed = Readonly<z.infer<typeof agreed>>;
