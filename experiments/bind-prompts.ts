/** Binds the prompt files of an experiment file: each becomes one of its modules, and its path the registered name of its prompt. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { openHome } from '../host/home-store.ts';
import { inHome } from '../host/home.ts';
import type { Schema } from '../recipe/define.ts';
import { PROMPT_FILE, type BoundConfig, type RecipeSchema } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import { getAt } from '../schemas/faults.ts';
import type { Source } from '../schemas/yaml.ts';
import { checkPrompt } from '../steps/jinja-prompt.ts';
import { JinjaError } from '../steps/jinja-source.ts';
import { digestOf, isPromptFile, promptId, readPromptFile } from '../steps/prompt-files.ts';
import type { Registry } from '../steps/registry.ts';
import type { Store } from '../store/store.ts';
import { namesIn } from './registered-names.ts';

type Path = readonly PropertyKey[];
type Modules = BoundConfig['modules'];

/** A prompt file and where the experiment file names it. */
interface Named {
  readonly path: Path;
  readonly file: string;
  readonly text: string;
}
export interface BoundPrompts {
  /** The experiment file with the registered names of prompts in place of their files. */
  readonly given: object;
  readonly modules: Modules;
  readonly named: readonly Named[];
}

/** Reads each prompt file that the experiment file names. `before`: the configuration that it changes, which keeps the prompts that it has. */
export async function bindPrompts(source: Source, folder: string, before: BoundConfig | undefined): Promise<BoundPrompts> {
  const given = source.value as object;
  const modules = new Map<string, Modules[number]>();
  const named: Named[] = [];
  for (const part of ['parameters', 'evaluation'])
    for (const { path, kind, id } of namesIn(getAt(given, [part]), [part])) {
      const kept = before?.modules.find((module) => isPromptFile(module) && module.digest === digestOf(id));
      if (kept) modules.set(id, kept);
      if (kind !== 'prompt' || !PROMPT_FILE.test(id)) continue;
      const file = resolve(folder, id);
      try {
        const { text, digest } = await readPromptFile(file);
        checkPrompt(text, undefined);
        modules.set(promptId(digest), { path: file, digest });
        (getAt(given, path.slice(0, -1)) as Record<PropertyKey, unknown>)[path.at(-1)!] = promptId(digest);
        named.push({ path, file, text });
      } catch (error) {
        report(source, path, file, error);
      }
    }
  return { given, modules: [...modules.values()], named };
}

/** Checks the variables of prompt files against the example of the prompt that each replaces: the default of its parameter. */
export function checkVariables(source: Source, { named, given }: BoundPrompts, recipe: RecipeSchema | undefined, registry: Registry): void {
  for (const { path, file, text } of named) {
    const [part, label] = path as [string, string];
    const ofSuite = part === 'evaluation';
    const holder = ofSuite ? [part, label, 'params'] : [part];
    const schema: Schema<unknown> | undefined = ofSuite ? suiteParams(registry, getAt(given, [part, label, 'suite'])) : recipe?.parameters;
    const replaced = schema && defaultAt(schema, getAt(given, holder), path.slice(holder.length));
    const example = typeof replaced === 'string' && registry.isPrompt(replaced) ? registry.prompt(replaced).example : undefined;
    try {
      checkPrompt(text, example);
    } catch (error) {
      report(source, path, file, error);
    }
  }
}

function report(source: Source, path: Path, file: string, error: unknown): void {
  if (error instanceof JinjaError) source.problem(path, `${file}:${error.line}: ${error.message}`);
  else if (error instanceof BackspinError) source.problem(path, error.message);
  else throw error;
}

function suiteParams(registry: Registry, id: unknown): Schema<unknown> | undefined {
  try {
    return registry.suite(String(id)).params;
  } catch {
    return undefined; // reported with the other names
  }
}

/** What a parameter is if the file does not set it; undefined: it must be set. */
function defaultAt(schema: Schema<unknown>, value: unknown, path: Path): unknown {
  const without = structuredClone(value) as object;
  delete (getAt(without, path.slice(0, -1)) as Record<PropertyKey, unknown>)[path.at(-1)!];
  try {
    return getAt(schema.parse(without), path);
  } catch {
    return undefined;
  }
}

/** The store of this home, which keeps the prompts of launched experiments; undefined: there is none yet. */
export const promptStore = async (): Promise<Store | undefined> => (existsSync(inHome('store')) ? openHome() : undefined);
