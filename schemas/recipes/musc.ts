/** Parameters of MuSC (2502.11541). Settings that neither the available parts of the paper nor its code state are parameters with our
 *  defaults. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { preference, trainingWith } from '../training.ts';

const share = z.number().min(0).max(1);

export const noise = z
  .strictObject({
    ratio: share
      .default(0.3)
      .describe(
        'Share of the constraints to corrupt, a half rounded to the even number; at least one, and never the first, which is the task.',
      ),
    kinds: z
      .strictObject({ delete: share.default(1), substitute: share.default(0), negate: share.default(0) })
      .refine((kinds) => kinds.delete + kinds.substitute + kinds.negate > 0, 'at least one kind must be above 0')
      .prefault({})
      .describe('Probabilities that a corrupted constraint is left out, replaced by the model, or negated by it.'),
  })
  .describe('How the instructions of the rejected answers are corrupted.');
export type Noise = z.output<typeof noise>;

export const weighing = z
  .strictObject({
    metric: z.enum(['logprob-ratio', 'entropy-ratio', 'kl', 'bi-kl', 'pmi']).default('logprob-ratio'),
    scale: z.number().positive().default(0.6).describe('Weight of a token that is equally likely under both instructions.'),
    cap: z
      .number()
      .positive()
      .default(2)
      .describe('Maximum weight; also the weight of a token that is certain only under its own instruction.'),
    bothZero: z.number().min(0).default(1.2).describe('Weight of a token that is certain under both instructions.'),
    firstToken: z
      .number()
      .min(0)
      .nullable()
      .default(null)
      .describe("Weight of each answer's first token: 0 in the paper's code, because of its alignment. null: its own weight."),
  })
  .describe('How the confidence in a token becomes its weight.');
export type Weighing = z.output<typeof weighing>;

const dpo = trainingWith({
  learningRate: 5e-6,
  length: { epochs: 3 },
  batch: 8,
  maxTokens: 2048,
  lora: { rank: 8, alpha: 16 },
  schedule: 'cosine',
  warmup: 0.1,
}).extend(preference);

const sure = { temperature: 0.1, maxTokens: 4096 };
const free = { temperature: 0.5, maxTokens: 4096 };

const parameters = z.strictObject({
  rounds: z
    .int()
    .min(1)
    .max(1000)
    .default(1)
    .describe('Rounds; the paper has one. In a further round the model of the previous one does everything, and is the reference.'),
  recombine: z
    .enum(['model', 'joined'])
    .default('model')
    .describe('How constraints become an instruction: the model writes it, or they are sentences and are joined.'),
  selfMade: z
    .int()
    .min(0)
    .default(0)
    .describe("Number of instructions that the model invents from `demos`, beside those of the data; the paper's code has 1,000."),
  perTopic: z
    .int()
    .min(1)
    .default(25)
    .describe('Maximum of invented instructions with the same opening that request a recipe, a story or a trip.'),
  noise: noise.prefault({}),
  check: z.boolean().default(false).describe('Ask the model whether a rejected answer meets the omitted constraint, and drop such pairs.'),
  weighing: weighing.prefault({}),
  minimum: z.int().min(1).default(100).describe('Minimum of pairs of a round; with fewer the experiment waits for a person.'),
  arms: z
    .array(z.enum(['plain', 'uncorrupted']))
    .default([])
    .describe('`plain` trains on the same pairs by DPO. `uncorrupted` is the control: DPO on pairs of answers to the whole instruction.'),
  sampling: z
    .strictObject({
      decompose: sampling.default(sure).describe('Also for recombine.'),
      invent: sampling.default(free),
      corrupt: sampling.default(free),
      respond: sampling.default(free),
      check: sampling.default(sure),
    })
    .prefault({}),
  dpo: dpo.prefault({}),
  templates: z.strictObject({ weighted: registered.default('musc.toWeighted'), pair: registered.default('musc.toPair') }).prefault({}),
  prompts: z
    .strictObject({
      decompose: promptName.default('musc.takeApart'),
      recombine: promptName.default('musc.putTogether'),
      invent: promptName.default('musc.makeUp'),
      reinvent: promptName.default('musc.makeUpAnew'),
      substitute: promptName.default('musc.substitute'),
      negate: promptName.default('musc.negate'),
      respond: promptName.default('musc.instruct'),
      verify: promptName.default('musc.judge'),
    })
    .prefault({}),
});
export type MuscParameters = z.output<typeof parameters>;

export const musc = {
  parameters,
  data: { queries: 'either', parts: 'either', demos: 'optional' },
  models: { policy: 'required' },
  evaluation: ['forward', 'weights'],
  roles: ['self', 'model'],
  lacks: ({ selfMade }: MuscParameters, data: readonly string[]) =>
    selfMade > 0 && !data.includes('demos')
      ? [[['selfMade'], 'to make up instructions takes `demos` under `data`; give them, or say 0'] as const]
      : [],
} satisfies RecipeSchema;
