/** The experiment file, as a person writes it. */
import { z } from 'zod';
import { architecture, registered, seed } from './config.ts';
import { external } from './external.ts';
import { recipeSchemas } from './recipes/index.ts';
import { name, serving, servingChange } from './serving.ts';

const params = z.record(z.string(), z.unknown());

export const experimentFile = z.strictObject({
  name: name.optional().describe('Name of the experiment; default: the name of the file.'),
  recipe: z.enum(Object.keys(recipeSchemas)),
  seed: seed.default(0).describe('Seed of every random choice but those of data sources and trainings that name their own.'),
  modules: z.array(z.string()).default([]).describe('TypeScript files with operators, prompts, templates, suites and sources.'),
  data: z.record(name, z.strictObject({ source: registered, params: params.default({}) })).default({}),
  models: z
    .record(
      name,
      z.union([
        z.strictObject({
          path: z.string().describe('A Hugging Face model folder.'),
          chatTemplate: z
            .string()
            .exactOptional()
            .describe("A Jinja file that takes the place of the folder's chat template; a base model may have none."),
        }),
        z.strictObject({ init: z.strictObject({ architecture, tokenizer: z.string(), seed }) }),
        z.strictObject({ external }),
      ]),
    )
    .default({}),
  serving: serving.prefault({}),
  roles: z.record(z.string(), servingChange).default({}).describe('What differs from `serving`, by role.'),
  training: z.strictObject({ pool: name.default('cpu'), threads: z.int().min(1).nullable().default(null) }).prefault({}),
  evaluation: z
    .record(
      z.string(),
      z.strictObject({
        suite: registered,
        params: params.default({}),
        with: z
          .record(z.string(), z.string())
          .exactOptional()
          .describe('Who is in the roles of the suite, such as its judge: by role a name under `models`.'),
      }),
    )
    .default({}),
  parameters: params.default({}).describe("The recipe's own; see its schema."),
});
