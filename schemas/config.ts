/** The experiment file, as a person writes it, and bound: names resolved, defaults filled in, ready for a workflow. */
import { z } from 'zod';
import { external, type External } from './external.ts';
import { name, serving, servingChange, type Serving } from './serving.ts';

/** Within what every generator of random numbers takes, with room for repeated trainings. */
export const seed = z.int32().min(0);
/** `space.name` in the registry of operators, prompts, templates, suites and sources. */
export const registered = z.string().regex(/^[a-z][a-z0-9-]*\.[A-Za-z][A-Za-z0-9]*$/, 'a registered name such as std.jsonl');
const params = z.record(z.string(), z.unknown());

export const architecture = z.strictObject({
  hiddenSize: z.int().min(1),
  layers: z.int().min(1),
  heads: z.int().min(1),
  headSize: z.int().min(1),
  kvHeads: z.int().min(1),
  mlp: z.int().min(1),
  context: z.int().min(8),
  tied: z.boolean(),
  std: z.number().positive(),
});

export const experimentFile = z.strictObject({
  name: name.optional().describe('Name of the experiment; default: the name of the file.'),
  recipe: z.enum(['humpback', 'pretrain']),
  seed: seed.default(0).describe('Seed of every random choice but those of data sources and trainings that name their own.'),
  modules: z.array(z.string()).default([]).describe('TypeScript files with operators, prompts, templates, suites and sources.'),
  data: z.record(name, z.strictObject({ source: registered, params: params.default({}) })).default({}),
  models: z
    .record(
      name,
      z.union([
        z.strictObject({ path: z.string().describe('A Hugging Face model folder.') }),
        z.strictObject({ init: z.strictObject({ architecture, tokenizer: z.string(), seed }) }),
        z.strictObject({ external }),
      ]),
    )
    .default({}),
  serving: serving.prefault({}),
  roles: z.record(z.string(), servingChange).default({}).describe('What differs from `serving`, by role.'),
  training: z.strictObject({ pool: name.default('cpu'), threads: z.int().min(1).nullable().default(null) }).prefault({}),
  evaluation: z.record(z.string(), z.strictObject({ suite: registered, params: params.default({}) })).default({}),
  parameters: params.default({}).describe("The recipe's own; see its schema."),
});
export type ExperimentFile = z.input<typeof experimentFile>;

/** What a recipe wants of the file beside its parameters. */
export interface RecipeSchema {
  readonly parameters: z.ZodType;
  readonly data: { readonly [name: string]: 'required' | 'optional' };
  readonly models: { readonly [name: string]: 'required' | 'optional' };
  readonly evaluation: readonly string[];
  /** Names under which its operators and suites address models. */
  readonly roles: readonly string[];
}

/** The workflow's input. Plain JSON; paths absolute. */
export interface Bound {
  readonly name: string;
  readonly recipe: string;
  readonly seed: number;
  readonly modules: readonly { readonly path: string; readonly digest: string }[];
  readonly data: { readonly [name: string]: { readonly source: string; readonly params: object; readonly folder: string } };
  readonly models: {
    readonly [name: string]:
      | { readonly path: string }
      | { readonly init: { readonly architecture: z.infer<typeof architecture>; readonly tokenizer: string; readonly seed: number } }
      | { readonly external: External };
  };
  readonly serving: Serving;
  readonly roles: { readonly [role: string]: Serving };
  readonly training: { readonly pool: string; readonly threads: number | null };
  readonly evaluation: { readonly [label: string]: { readonly id: string; readonly params: object } };
  /** Checked by the recipe's schema. */
  readonly parameters: object;
}
