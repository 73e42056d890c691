/** A model that somebody else serves, as an experiment file says it. */
import { z } from 'zod';
import { timeout } from './serving.ts';

const url = z.url({ protocol: /^https?$/ }).refine((text) => !/[@?#]/.test(text), 'an address without a key, a user or a query in it');

/** Its identity is its name and revision; the rest is how to reach it. */
export const external = z.strictObject({
  model: z.string().min(1).describe('Its name at the server.'),
  revision: z.string().min(1).describe('Declared by you: another revision is another model.'),
  url: url.describe('Of an OpenAI-compatible server: what stands before /v1.'),
  key: z
    .union([
      z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable') }),
      z.strictObject({ file: z.string() }),
    ])
    .nullable()
    .default(null)
    .describe('Where the key is, read by the workers: never the key itself. null: the server asks for none.'),
  inFlight: z.int().min(1).default(64).describe('Requests in flight at most; how many the server takes is found out.'),
  requestsPerMinute: z.number().positive().nullable().default(null),
  tokensPerMinute: z.number().positive().nullable().default(null).describe('Read and written.'),
  timeout: timeout.exactOptional(),
  tolerance: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe('Share of the text of its canary answers that may differ from when this revision was first met.'),
});
export type External = z.infer<typeof external>;
