/** An experiment file as it is bound: names resolved, defaults filled in, ready for a workflow; and what files and recipes share. */
import { z } from 'zod';
import type { External } from './external.ts';
import type { Serving } from './serving.ts';

/** Within what every generator of random numbers takes, with room for repeated trainings. */
export const seed = z.int32().min(0);
/** `namespace.name` in the registry of operators, prompts, templates, suites and sources. */
export const registered = z.string().regex(/^[a-z][a-z0-9-]*\.[A-Za-z][A-Za-z0-9]*$/, 'a registered name such as std.jsonl');

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

/** What a recipe wants of the file beside its parameters. */
export interface RecipeSchema {
  readonly parameters: z.ZodType;
  /** `either`: just one of those that are so marked. */
  readonly data: { readonly [name: string]: 'required' | 'optional' | 'either' };
  /** `encoder`: it may be left out, and is only embedded with. */
  readonly models: { readonly [name: string]: 'required' | 'optional' | 'encoder' };
  readonly evaluation: readonly string[];
  /** What a parameter takes that the file does not have under `data`: the path of the parameter, and the sentence. */
  readonly lacks?: (parameters: never, data: readonly string[]) => readonly (readonly [path: readonly string[], sentence: string])[];
  /** Names under which its operators and suites address models. */
  readonly roles: readonly string[];
}

/** The workflow's input. Plain JSON; paths absolute. */
export interface BoundConfig {
  readonly name: string;
  readonly recipe: string;
  readonly seed: number;
  readonly modules: readonly { readonly path: string; readonly digest: string }[];
  readonly data: { readonly [name: string]: { readonly source: string; readonly params: object; readonly folder: string } };
  readonly models: {
    readonly [name: string]:
      | { readonly path: string; readonly chatTemplate?: string }
      | { readonly init: { readonly architecture: z.infer<typeof architecture>; readonly tokenizer: string; readonly seed: number } }
      | { readonly external: External };
  };
  readonly serving: Serving;
  readonly roles: { readonly [role: string]: Serving };
  readonly training: { readonly pool: string; readonly threads: number | null };
  /** `with`: the name under `models` of each role of the suite. */
  readonly evaluation: {
    readonly [label: string]: { readonly id: string; readonly params: object; readonly with?: { readonly [role: string]: string } };
  };
  /** Checked by the recipe's schema. */
  readonly parameters: object;
}
