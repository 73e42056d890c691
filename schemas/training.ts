/** Schema of a training in an experiment file: `Settings` of `recipe/api.ts` without the objective, which the recipe sets. */
import { z } from 'zod';
import { seed } from './config.ts';

const table = z.array(z.tuple([z.int().min(0), z.int().min(1)])).min(1);

const learningRate = z
  .union([z.number().positive(), z.strictObject({ from: z.number().positive(), to: z.number().min(0) })])
  .describe('After the warm-up, and at the last step; a plain number decays to 0 after the last step.');
const length = z.union([
  z.strictObject({ epochs: z.number().positive() }),
  z.strictObject({ steps: z.int().min(1) }),
  z.strictObject({ stepsByRows: table.describe('[rows, steps] pairs; the one nearest in ratio to the number of rows counts.') }),
]);
const batch = z
  .union([
    z.int().min(1),
    z.strictObject({ byRows: table.describe('[rows, batch] pairs, ascending; the last one at or below the number of rows counts.') }),
  ])
  .describe('Rows of an optimizer step, on all devices together.');
const maxTokens = z.int().min(2).describe('Maximum of tokens in a row.');
const options = {
  tooLong: z
    .enum(['drop', 'truncate', 'fail'])
    .exactOptional()
    .describe('For a row of more than maxTokens: drop and count it, cut the end of its answer, or fail the training. Default: drop.'),
  schedule: z.enum(['linear', 'cosine']).exactOptional().describe('Default: linear.'),
  warmup: z.number().min(0).max(1).exactOptional().describe('Share of the steps. Default: 0.'),
  weightDecay: z.number().min(0).exactOptional().describe('Default: 0.'),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .exactOptional()
    .describe('Default: 0.9 and 0.999.'),
  clip: z.number().positive().nullable().exactOptional().describe('Norm to which gradients are clipped; null: none. Default: 1.'),
  dropout: z.number().min(0).lt(1).exactOptional().describe('Default: 0.'),
  evaluate: z
    .strictObject({
      share: z.number().gt(0).lt(1).describe('Share of the rows that is held out. Rows with the same prompt are on the same side.'),
      every: z.int().min(1).exactOptional().describe('Steps between two measurements. Default: a tenth of the steps.'),
      patience: z
        .int()
        .min(1)
        .exactOptional()
        .describe(
          'The training ends after as many measurements without a lower loss, and gives the model of the lowest. Default: it runs to its end.',
        ),
    })
    .exactOptional()
    .describe('Measures the loss of rows that are not trained on.'),
  seed: seed.exactOptional().describe("Default: the experiment's."),
  optimizer: z
    .enum(['adamw', 'adamw-8bit', 'muon'])
    .exactOptional()
    .describe(
      'Default: adamw. adamw-8bit keeps its state in 8 bits, by bitsandbytes. muon is for small models of which all weights are trained: it needs fewer steps.',
    ),
  quantization: z
    .enum(['none', 'nf4'])
    .exactOptional()
    .describe('nf4: the frozen base of an adapter is in 4 bits while it is trained (QLoRA), by bitsandbytes. Default: none.'),
  attention: z
    .enum(['sdpa', 'flash-attention-2', 'flash-attention-3'])
    .exactOptional()
    .describe("Default: sdpa, PyTorch's own. The others are packages for CUDA devices."),
  packing: z
    .boolean()
    .exactOptional()
    .describe('Computes the rows of a micro-batch as one sequence without padding, in which rows do not see each other. Default: false.'),
  liger: z.boolean().exactOptional().describe('Kernels of Liger for norms, rotations and MLPs, for CUDA devices. Default: false.'),
};

const lora = z.strictObject({
  rank: z.int().min(1),
  alpha: z.number().positive().describe('The adapter is scaled by alpha / rank.'),
  targets: z
    .array(z.string())
    .min(1)
    .exactOptional()
    .describe('Names of the adapted linear layers, such as q_proj. Default: all but the head.'),
  dropout: z.number().min(0).lt(1).exactOptional().describe("Dropout on the adapter's inputs. Default: 0."),
});

export const training = z.strictObject({
  learningRate,
  length,
  batch,
  maxTokens,
  lora: lora.nullable().default(null).describe('Trains a low-rank adapter; null trains all weights.'),
  adapter: z
    .enum(['continue', 'merge'])
    .default('merge')
    .describe('If the model is an adapter: train it further, or merge it with its base first.'),
  ...options,
});

type Shape = typeof training.shape;
type Defaulting<S extends z.ZodType> = z.ZodDefault<S extends z.ZodExactOptional<infer Inner extends z.ZodType> ? Inner : S>;
/** A training with a recipe's defaults, taken from its paper. */
export function trainingWith<D extends Partial<z.input<typeof training>>>(defaults: D) {
  const defaulted = Object.entries(defaults).map(([key, value]) => {
    const schema: z.ZodType = training.shape[key as keyof Shape];
    return [key, (schema instanceof z.ZodExactOptional ? (schema.unwrap() as z.ZodType) : schema).default(value)];
  });
  type Defaulted = { [K in keyof Shape]: K extends keyof D ? Defaulting<Shape[K]> : Shape[K] };
  return training.extend(Object.fromEntries(defaulted) as {}) as unknown as z.ZodObject<Defaulted, z.core.$strict>;
}

/** A training of a tagger with a recipe's defaults: it has new layers of its own, so it trains all weights. */
export const taggerTrainingWith = <D extends Partial<z.input<typeof training>>>(defaults: D) =>
  trainingWith(defaults).extend({ lora: z.null().default(null), adapter: z.literal('merge').default('merge') });

/** Settings of preference trainings alone. */
const beta = z.number().positive().default(0.1).describe('How strongly the loss holds the model to its reference.');
const loss = z
  .enum(['sigmoid', 'ipo', 'orpo', 'simpo'])
  .exactOptional()
  .describe(
    'Of a margin: sigmoid (DPO), or ipo (the squared distance of the mean margin of a token from 1 / (2 beta)); without a reference model orpo (SFT on chosen answers, and beta times their odds ratio) or simpo (the mean margin of a token times beta, less gamma). Default: sigmoid.',
  );
const gamma = z.number().min(0).exactOptional().describe('Target margin of the loss simpo. Default: 0.5.');
const sft = z
  .number()
  .positive()
  .exactOptional()
  .describe('Adds as many times the SFT loss of the chosen answers, token by token. Default: none; orpo has it once.');
export const preference = { beta, loss, gamma, sft };

/** Changes relative to another training. */
export const trainingChange = z.strictObject({
  learningRate: learningRate.exactOptional(),
  length: length.exactOptional(),
  batch: batch.exactOptional(),
  maxTokens: maxTokens.exactOptional(),
  ...options,
});
