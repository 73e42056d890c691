/** Schema of an external model in an experiment file. */
import { z } from 'zod';
import { REQUEST_FIELDS } from './sampling-names.ts';
import { timeout } from './serving.ts';

const url = z.url({ protocol: /^https?$/ }).refine((text) => !/[@?#]/.test(text), 'an address without a key, a user or a query in it');

/** Name and revision identify the model; all other fields tell how to reach it. */
export const external = z.strictObject({
  model: z.string().min(1).describe('Name of the model at the server.'),
  revision: z.string().min(1).describe('A revision that you declare: another revision is another model.'),
  url: url.describe('Address of an OpenAI-compatible server, without /v1 and what follows it.'),
  key: z
    .union([
      z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable') }),
      z.strictObject({ file: z.string() }),
    ])
    .nullable()
    .default(null)
    .describe('Where the workers read the key: never the key itself. null: the server needs none.'),
  inFlight: z.int().min(1).default(64).describe('Maximum of requests in flight; below it, backspin finds the capacity of the server.'),
  requestsPerMinute: z.number().positive().nullable().default(null).describe('Maximum rate. null: no limit.'),
  tokensPerMinute: z.number().positive().nullable().default(null).describe('Maximum rate of tokens, read and written. null: no limit.'),
  price: z
    .strictObject({
      input: z.number().min(0),
      output: z.number().min(0),
      currency: z
        .string()
        .regex(/^[A-Z]{3}$/, 'three letters')
        .default('USD'),
    })
    .exactOptional()
    .describe('What a million tokens cost, read (`input`) and written (`output`). Default: no cost is counted.'),
  timeout: timeout.exactOptional(),
  structured: z
    .enum(['structured_outputs', 'response_format'])
    .exactOptional()
    .describe(
      "How the server takes `choice` and `schema` of sampling: as vLLM's `structured_outputs`, or as a JSON Schema in OpenAI's `response_format`. Default: it takes neither, and replies are read as they come.",
    ),
  omit: z
    .array(z.enum(Object.keys(REQUEST_FIELDS) as (keyof typeof REQUEST_FIELDS)[]))
    .readonly()
    .exactOptional()
    .describe('Settings of sampling that the server does not take, such as temperature: requests leave them out, and its own apply.'),
  tolerance: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe('Share of the text of its canary answers that may differ from the first answers of this revision.'),
});
export type External = z.infer<typeof external>;
