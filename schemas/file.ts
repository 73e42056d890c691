/** Schema of the experiment file. */
import { z } from 'zod';
import { architecture, license, registered, revision, seed } from './config.ts';
import { external } from './external.ts';
import { notify } from './notify.ts';
import { recipeSchemas } from './recipes/index.ts';
import { templateVariables } from './sampling.ts';
import { sweepSpec } from './sweep.ts';
import { name, serving, servingChange } from './serving.ts';

const chatTemplate = z
  .string()
  .exactOptional()
  .describe("A Jinja file that replaces the model's own chat template. Needed for a base model that has none.");
const chatTemplateArguments = templateVariables
  .exactOptional()
  .describe('Variables of the chat template, such as enable_thinking: false, in trainings and requests alike.');
const system = z
  .string()
  .exactOptional()
  .describe("The system turn of conversations that have none. '' is an empty one, for models whose chat template adds a turn of its own.");
const endToken = z
  .string()
  .min(1)
  .exactOptional()
  .describe("A token that ends a turn beside the model's own end tokens, such as <|im_end|> for a base model whose end token is another.");
const params = z.record(z.string(), z.unknown());
/** Of a dataset or a model; recipes have names such as metaDocuments. */
const inputName = z
  .string()
  .regex(/^[a-z0-9][a-zA-Z0-9-]*$/, 'letters, digits and hyphens, and no capital letter first')
  .max(100);
const itemField = z.string().min(1);
const decontaminate = z
  .strictObject({
    against: z
      .record(inputName, z.union([itemField, z.array(itemField).min(1)]))
      .refine((against) => Object.keys(against).length > 0, 'name a dataset and the field of its items, as in against: { checks: prompt }')
      .describe('The items: names under `data`, each with the field or fields that hold their text, such as prompt or requests.prompt.'),
    words: z
      .int()
      .min(1)
      .default(13)
      .describe('Number of consecutive words that a record may not share with an item. A shorter item counts as a whole.'),
  })
  .exactOptional()
  .describe('Drops records that contain items of other datasets, such as those of suites.');

export const experimentFile = z.strictObject({
  name: name.optional().describe('Name of the experiment. Default: the name of the file.'),
  recipe: z.enum(Object.keys(recipeSchemas)),
  seed: seed.default(0).describe('Seed of every random choice, except in data sources and trainings with a seed of their own.'),
  modules: z.array(z.string()).default([]).describe('TypeScript files with operators, prompts, templates, suites and sources.'),
  data: z.record(inputName, z.strictObject({ source: registered, params: params.default({}), decontaminate })).default({}),
  models: z
    .record(
      inputName,
      z.union([
        z.string().describe('A Hugging Face model folder if there is one at this path, else the name of a model on the Hugging Face Hub.'),
        z.strictObject({
          path: z.string().describe('A Hugging Face model folder, or a GGUF file.'),
          chatTemplate,
          chatTemplateArguments,
          system,
          endToken,
        }),
        z.strictObject({
          hub: z.string().describe('A model on the Hugging Face Hub, such as Qwen/Qwen2.5-0.5B.'),
          revision: revision.default('main'),
          file: z
            .string()
            .regex(/\.gguf$/i, 'the name of a GGUF file')
            .exactOptional()
            .describe('A GGUF file in the repository, such as model-Q8_0.gguf, which is the model then.'),
          chatTemplate,
          chatTemplateArguments,
          system,
          endToken,
        }),
        z.strictObject({ init: z.strictObject({ architecture, tokenizer: z.string(), seed }) }),
        z.strictObject({ external }),
      ]),
    )
    .default({}),
  serving: serving.prefault({}),
  roles: z.record(z.string(), servingChange).default({}).describe('Differences from `serving`, by role.'),
  training: z
    .strictObject({
      pool: name.exactOptional().describe('Pool of trainings, embeddings and scorings. Default: that of `serving`.'),
      threads: z.int().min(1).nullable().default(null).describe('CPU threads; null: all of the machine.'),
      engine: z.enum(['trl', 'command']).default('trl').describe('trl: our trainer, on TRL. command: the command in `run` trains.'),
      run: z
        .array(z.string().min(1))
        .min(1)
        .exactOptional()
        .describe('Program and arguments. {config}, {data}, {model}, {output} and others stand for what a training is given.'),
      config: z
        .string()
        .exactOptional()
        .describe("The command's own configuration file, in which the same names stand. {config} is the filled copy."),
      version: z.string().min(1).exactOptional().describe('Version of the program. Default: what it prints for --version.'),
      microBatch: z
        .union([z.literal('auto'), z.int().min(1)])
        .default('auto')
        .describe(
          'The most rows that a device computes at once; a step adds up the gradients of its batch. auto: the whole share of the device, and half as many each time memory runs out.',
        ),
      deterministic: z
        .boolean()
        .default(false)
        .describe('Asks PyTorch for algorithms that give the same bits again on CUDA devices, some of them slower.'),
      shard: z
        .enum(['none', 'fsdp2'])
        .default('none')
        .describe(
          'fsdp2: the devices of a group divide weights, gradients and optimizer state among themselves. none: each device has all of them.',
        ),
    })
    .superRefine(({ engine, run, config, version, shard, deterministic }, context) => {
      const say = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
      if (engine === 'command' && !run) say('run', 'is missing; `engine: command` needs the program and its arguments');
      for (const [key, value] of Object.entries({ run, config, version }))
        if (engine === 'trl' && value !== undefined) say(key, 'goes with `engine: command`');
      if (engine === 'command' && deterministic) say('deterministic', 'is for `engine: trl`');
      if (engine === 'command' && shard !== 'none') say('shard', 'is for `engine: trl`; a command divides its model itself');
    })
    .prefault({}),
  evaluation: z
    .record(
      z.string(),
      z.strictObject({
        suite: registered,
        params: params.default({}),
        with: z
          .record(z.string(), z.string())
          .exactOptional()
          .describe('A name under `models` for each role of the suite, such as its judge.'),
        data: z.string().exactOptional().describe('A name under `data`, for a suite that has no items of its own.'),
      }),
    )
    .default({}),
  review: z
    .int()
    .min(1)
    .exactOptional()
    .describe('Number of records that people must review at each gate (`backspin review`), before the experiment goes on.'),
  license: license.exactOptional(),
  notify: notify.exactOptional().describe('Posts a message when something waits for a person, and at the end.'),
  sweep: sweepSpec.exactOptional().describe('Experiments to launch in place of one, which differ in these settings.'),
  parameters: params.default({}).describe('Parameters of the recipe; see its schema.'),
});
