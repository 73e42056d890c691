/** The bound configuration of an experiment, with names resolved and defaults filled in; and schemas that experiment files and recipes
 *  share. */
import { z } from 'zod';
import type { External } from './external.ts';
import type { Notify } from './notify.ts';
import type { Serving } from './serving.ts';

/** A range that all random generators accept, with room for repeated trainings. */
export const seed = z.int32().min(0);
/** `namespace.name` in the registry of operators, prompts, templates, suites and sources. */
export const registered = z.string().regex(/^[a-z][a-z0-9-]*\.[A-Za-z][A-Za-z0-9-]*$/, 'a registered name such as std.table');

/** Names of files that hold a prompt in Jinja. */
export const PROMPT_FILE = /\.(?:jinja|jinja2|j2)$/;
/** A registered prompt, or a Jinja file in place of one. Paths start at the folder of the experiment file. */
export const promptName = z
  .string()
  .regex(
    /^(?:[a-z][a-z0-9-]*\.[A-Za-z][A-Za-z0-9]*|.+\.(?:jinja|jinja2|j2))$/,
    'a registered prompt such as humpback.curation, or a Jinja file such as ./judge.jinja',
  );

/** Of a repository on the Hugging Face Hub. */
export const revision = z.string().min(1).describe('A branch, a tag or a commit. It is resolved to a commit at the launch.');

/** Of what an experiment makes. */
export const license = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]*$/, 'an identifier of the Hugging Face Hub such as apache-2.0, or other')
  .describe('License of the models and datasets, which the cards of exports name, such as apache-2.0. Default: the cards name none.');

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

/** What a recipe requires of the experiment file. */
export interface RecipeSchema {
  readonly parameters: z.ZodType;
  /** `either`: exactly one of the data sets with this mark. */
  readonly data: { readonly [name: string]: 'required' | 'optional' | 'either' };
  /** `encoder`: optional, and only used to embed. `required-encoder`: a tagger is trained from it. */
  readonly models: { readonly [name: string]: 'required' | 'optional' | 'encoder' | 'required-encoder' };
  readonly evaluation: readonly string[];
  /** Parameters that refer to data sets missing from the file: for each, the path of the parameter and a sentence. */
  readonly lacks?: (parameters: never, data: readonly string[]) => readonly (readonly [path: readonly string[], sentence: string])[];
  /** Roles of the models that the recipe's operators and suites address. */
  readonly roles: readonly string[];
}

/** A model of the Hugging Face Hub. `commit` is what `revision` was at the launch. */
export interface HubModel {
  readonly hub: string;
  readonly revision: string;
  readonly commit: string;
  /** A GGUF file in the repository. */
  readonly file?: string;
  readonly chatTemplate?: string;
  readonly chatTemplateArguments?: Readonly<Record<string, unknown>>;
  readonly system?: string;
  readonly endToken?: string;
}

/** A command that trains. `version` is that of its program. */
export interface TrainingCommand {
  readonly run: readonly string[];
  /** A configuration file, as it was at the launch. */
  readonly config: { readonly path: string; readonly text: string } | null;
  readonly version: string;
}

/** The input of the experiment workflow. Plain JSON with absolute paths. */
export interface BoundConfig {
  readonly name: string;
  readonly recipe: string;
  readonly seed: number;
  /** TypeScript files, and the Jinja files of prompts. */
  readonly modules: readonly { readonly path: string; readonly digest: string }[];
  readonly data: {
    readonly [name: string]: {
      readonly source: string;
      readonly params: object;
      readonly folder: string;
      /** A dataset of the Hugging Face Hub, if the source reads one; `commit` is what `revision` was at the launch. */
      readonly hub?: { readonly repository: string; readonly revision: string; readonly commit: string };
      /** Datasets with items of evaluations, by name, and the fields that hold their text. */
      readonly decontaminate?: { readonly against: { readonly [name: string]: string | readonly string[] }; readonly words: number };
    };
  };
  readonly models: {
    readonly [name: string]:
      | ({ readonly path: string } & Omit<HubModel, 'hub' | 'revision' | 'commit' | 'file'>)
      | HubModel
      | { readonly init: { readonly architecture: z.infer<typeof architecture>; readonly tokenizer: string; readonly seed: number } }
      | { readonly external: External };
  };
  readonly serving: Serving;
  readonly roles: { readonly [role: string]: Serving };
  /** `command`: trains in place of the trainer. `microBatch` and `shard` are missing in experiments of versions that knew none: auto, none. */
  readonly training: {
    readonly pool: string;
    readonly threads: number | null;
    readonly microBatch?: number | 'auto';
    readonly shard?: 'none' | 'fsdp2';
    readonly deterministic?: boolean;
    readonly command?: TrainingCommand;
  };
  /** `with`: for each role of the suite, its name under `models`. `data`: the name of its items under `data`. */
  readonly evaluation: {
    readonly [label: string]: {
      readonly id: string;
      readonly params: object;
      readonly with?: { readonly [role: string]: string };
      readonly data?: string;
    };
  };
  /** Messages; missing: none. */
  readonly notify?: Notify;
  /** Records that people must review at each gate; missing: none. */
  readonly review?: number;
  /** For the cards of exports; missing: unknown. */
  readonly license?: string;
  /** Already checked by the recipe's schema. */
  readonly parameters: object;
}
