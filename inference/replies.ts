/** What a server replies, checked by its schema. */
import { z } from 'zod';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';

/** Throws `CapabilityMissing` for a reply that is not so. */
export function parsed<T>(value: unknown, schema: z.ZodType<T>, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const said = refusal.safeParse(value).data?.error.message;
  throw unusable(path, `${faultOf(result.error, value)}${said === undefined ? '' : `; it says: ${said}`}`);
}
const refusal = z.object({ error: z.object({ message: z.string() }) });
export const unusable = (path: string, fault: string) =>
  new BackspinError(
    'CapabilityMissing',
    `The model server's reply to ${path} cannot be used: ${fault}. Serve the model with an engine that gives it.`,
  );
