/** What people decide about a sample of the records that a gate holds. */
import { z } from 'zod';

/** `edit`: right but for the values that `value` mends. */
export const judgement = z.enum(['approve', 'reject', 'edit']);
export type Judgement = z.infer<typeof judgement>;

/** A record of a dataset of verdicts. */
export const verdict = z.strictObject({
  /** Id of the record. */
  of: z.string(),
  verdict: judgement,
  note: z.string().nullable(),
  /** All values of an edited record; null for others. */
  value: z.record(z.string(), z.unknown()).nullable(),
});
export type Verdict = z.infer<typeof verdict>;
