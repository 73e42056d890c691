/** Schema of `serving`: how a role's model is served. */
import { z } from 'zod';

/** Name of an experiment (part of file names) or of a pool (part of queue names). */
export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and hyphens')
  .max(100);

export const timeout = z
  .number()
  .positive()
  .describe('Seconds for one request with its reply. Default: 600, plus 0.1 for each token of `maxTokens`.');

const slots = z.int().min(1).default(64).describe('Sequences decoded at once.');

const shared = {
  pool: name.default('cpu').describe('Pool whose device groups serve this role.'),
  slots,
  replicas: z
    .union([z.int().min(1), z.literal('auto')])
    .default(1)
    .describe('Servers that share the records of a step, each on a device group of its own. auto: as many as the pool has free.'),
  timeout: timeout.exactOptional(),
  maxModelLength: z.int().min(2).nullable().default(null).describe("Tokens of prompt and answer. Default: the model's."),
};

/** The trainer has the same. */
const MOST_SLOTS = 1024;
const embedded = z.strictObject({
  engine: z.literal('embedded').default('embedded').describe("The trainer's own server of small Llamas, for a CPU."),
  ...shared,
  slots: slots.refine((count) => count <= MOST_SLOTS, `the embedded engine computes all of them in one pass, at most ${MOST_SLOTS}`),
  threads: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'CPU threads; null: all of the machine. For a model less than 512 wide the embedded engine uses one thread, which is faster.',
    ),
});

/** Arguments of `vllm serve` that our options set. */
const options: { readonly [argument: string]: string } = {
  'max-num-seqs': 'slots',
  dtype: 'dtype',
  'max-model-len': 'maxModelLength',
  'tensor-parallel-size': 'tensorParallel',
  'data-parallel-size': 'dataParallel',
  'max-lora-rank': 'maxLoraRank',
};
/** Those, and arguments that the engine sets or that would break it: models, address, server processes, metrics. */
const taken = [
  ...Object.keys(options),
  ...'model served-model-name config generation-config enable-lora lora-modules max-loras'.split(' '),
  ...'host port uds root-path api-key ssl-keyfile ssl-certfile headless grpc api-server-count'.split(' '),
  ...'data-parallel-rank data-parallel-start-rank data-parallel-external-lb data-parallel-hybrid-lb'.split(' '),
  ...'disable-log-stats disable-uvicorn-access-log'.split(' '),
];

/** Python's argument parser also accepts prefixes of names. */
const argument = z.string().superRefine((name, context) => {
  if (!/^[a-z][a-z0-9-]*(\.[\w-]+)*$/.test(name))
    return context.addIssue('an argument of `vllm serve` is written without dashes before it and with hyphens in it');
  const bare = name.replace(/^no-/, '').replace(/\..*/, '');
  const ours = taken.find((one) => one.startsWith(bare));
  if (ours === undefined) return undefined;
  return context.addIssue(`--${ours} is for backspin to set${options[ours] ? `: use \`${options[ours]}\`` : ''}`);
});
const scalar = z.union([z.string(), z.number(), z.boolean()]);

const vllm = z.strictObject({
  engine: z.literal('vllm').describe('vLLM, as a subprocess; one base with any number of adapters in a step.'),
  ...shared,
  python: z
    .string()
    .nullable()
    .default(null)
    .describe('Python of the environment that has vLLM, where the workers run. Default: BACKSPIN_VLLM_PYTHON.'),
  version: z
    .string()
    .nullable()
    .default(null)
    .describe('Version of vLLM; part of the key of a step. Default: the version in `python` at the launch.'),
  dtype: z.enum(['bfloat16', 'float16', 'float32']).default('bfloat16'),
  tensorParallel: z.int().min(1).default(1).describe('Devices that share each copy of the weights.'),
  dataParallel: z.int().min(1).default(1).describe('Copies of the weights.'),
  maxLoraRank: z
    .int()
    .min(0)
    .exactOptional()
    .describe(
      "Highest rank of the adapters that the server can load while it runs; 0: it starts without room for any. Default: the highest `lora.rank` of the experiment's trainings.",
    ),
  arguments: z
    .record(argument, z.union([scalar, z.array(scalar), z.record(z.string(), z.unknown())]))
    .default({})
    .describe('More arguments of `vllm serve`, such as gpu-memory-utilization: 0.85. true is a flag, false its opposite.'),
});
export type VllmServing = z.output<typeof vllm>;

export const serving = z.discriminatedUnion('engine', [embedded, vllm]);
export type Serving = z.output<typeof serving>;

/** Options that differ for one role; checked once they are merged with `serving`. */
export const servingChange = z.strictObject({ ...embedded.shape, ...vllm.shape, engine: z.enum(['embedded', 'vllm']) }).partial();

/** Merges a role's own options over those of `serving`. With another engine it inherits only the options that both engines have. */
export function inherited(from: object & { readonly engine?: unknown }, own: object & { readonly engine?: unknown }): object {
  if (own.engine === undefined || own.engine === (from.engine ?? 'embedded')) return { ...from, ...own };
  return { ...Object.fromEntries(Object.entries(from).filter(([key]) => key in shared)), ...own };
}
