/** Loads an experiment file and binds its configuration. Reports every mistake that can be found before anything runs. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, resolve } from 'node:path';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { isPromptFile } from '../steps/prompt-files.ts';
import { loadRegistry, moduleDigest, type Registry } from '../steps/registry.ts';
import { commandVersion, placeholders, unknownPlaceholders } from '../devices/command.ts';
import type { BoundConfig, RecipeSchema, TrainingCommand } from '../schemas/config.ts';
import { experimentFile } from '../schemas/file.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Notify } from '../schemas/notify.ts';
import { recipeSchemas } from '../schemas/recipes/index.ts';
import { inherited, serving as servingSchema, type Serving } from '../schemas/serving.ts';
import { canonicalJson } from '../schemas/canonical.ts';
import { bindData } from './bind-data.ts';
import { bindModels } from './bind-models.ts';
import { bindPrompts, checkVariables, promptStore } from './bind-prompts.ts';
import { bindServing, highestRank } from './bind-serving.ts';
import { fileOf } from './file-of.ts';
import type { Launched } from './hub-names.ts';
import { namesIn } from './registered-names.ts';
import { suggest } from '../schemas/nearest.ts';
import { Source } from '../schemas/yaml.ts';

type File = z.output<typeof experimentFile>;
/** The file as written, before defaults and checks. */
type RawFile = {
  readonly recipe?: unknown;
  readonly parameters?: unknown;
  readonly serving?: object;
  readonly roles?: { readonly [role: string]: object };
};

export interface Experiment {
  readonly bound: BoundConfig;
  /** sha256 of the canonical JSON of `bound`. */
  readonly digest: string;
}

/** Loads and checks an experiment file. Throws one BackspinError that lists all mistakes, each with file, line and column. */
export async function loadExperiment(file: string, sets: readonly string[] = [], name?: string): Promise<Experiment> {
  const path = resolve(file);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new BackspinError(
      'ConfigError',
      `The experiment file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}): check its path.`,
    );
  }
  if (!isUtf8(bytes) || bytes.includes(0)) throw new BackspinError('ConfigError', `${file} is not a text in UTF-8: save it as one.`);
  return bind(new Source(file, bytes.toString(), sets), dirname(path), name ?? basename(path).replace(/\.ya?ml$/, ''), name);
}

/** Binds a bound configuration again, with changes and a new name. */
export async function rebind(bound: BoundConfig, sets: readonly string[], name: string): Promise<Experiment> {
  const folder = Object.values(bound.data)[0]?.folder ?? process.cwd();
  return bind(new Source(`configuration of ${bound.name}`, stringify(fileOf(bound)), sets), folder, name, name, bound);
}

/** `before`: the configuration that this one changes. */
async function bind(source: Source, folder: string, fallbackName: string, forcedName?: string, before?: BoundConfig): Promise<Experiment> {
  const recipe = recipeSchemas[String((source.value as RawFile).recipe)];
  if (recipe) source.resolveAliases(recipe.parameters, ['parameters']);
  const prompts = await bindPrompts(source, folder, before);
  const given = prompts.given as RawFile;
  const file = source.check<File>(experimentFile, given);
  const parameters = recipe && source.check(recipe.parameters, given.parameters ?? {}, ['parameters']);
  if (recipe && file) checkNames(source, recipe, file, parameters as object);
  if (recipe?.lacks && file && parameters)
    for (const [path, sentence] of recipe.lacks(parameters as never, Object.keys(file.data)))
      source.problem(['parameters', ...path], sentence);
  const launched: Launched = { experiment: forcedName ?? file?.name ?? fallbackName, config: before };
  const models = await bindModels(source, file?.models ?? {}, { folder, recipe, launched });
  const modules = [...(await bindModules(source, file?.modules ?? [], folder)), ...prompts.modules];
  source.throwIfAny(); // without its modules, the registry would report every name as unknown
  const registry = await loadRegistry(modules, before && (await promptStore()));
  checkVariables(source, prompts, recipe, registry);
  const checked = checkRegistered(source, registry, file!, parameters as object);
  const name = forcedName ?? file!.name ?? fallbackName;
  if (!experimentFile.shape.name.safeParse(name).success)
    source.problem(['name'], `"${name}" cannot name an experiment; use lower-case letters, digits and hyphens`);
  source.throwIfAny();
  const { training, seed } = file!;
  const rank = highestRank(parameters);
  const serving = await bindServing(source, file!.serving, ['serving'], rank);
  const { pool = serving.pool, threads, microBatch, shard, deterministic } = training;
  const command = await bindCommand(source, training, folder);
  const roles: Record<string, Serving> = {};
  for (const [role, own] of Object.entries(given.roles ?? {})) {
    const whole = source.check<Serving>(servingSchema, inherited(given.serving ?? {}, own), ['roles', role]);
    if (whole) roles[role] = await bindServing(source, whole, ['roles', role], rank);
  }
  source.throwIfAny();
  const data = await bindData(source, checked.data, { folder, registry, launched });
  source.throwIfAny();
  const bound: BoundConfig = {
    name,
    recipe: file!.recipe,
    seed,
    modules,
    data,
    models,
    serving,
    roles,
    training: { pool, threads, microBatch, shard, deterministic, ...command },
    evaluation: checked.evaluation,
    ...(file!.notify && { notify: notifyOf(file!.notify, folder) }),
    ...(file!.review !== undefined && { review: file!.review }),
    ...(file!.license !== undefined && { license: file!.license }),
    parameters: parameters as object,
  };
  return { bound, digest: configDigest(bound) };
}

export const configDigest = (bound: BoundConfig): string => createHash('sha256').update(canonicalJson(bound)).digest('hex');

function checkNames(source: Source, recipe: RecipeSchema, file: File, parameters: object = {}): void {
  const casts = Object.values(file.evaluation).flatMap((it) => (it.with ? [it.with] : []));
  /** What the recipe need not know. */
  const ofSuites = {
    data: [
      ...Object.values(file.evaluation).flatMap(({ data }) => data ?? []),
      ...Object.values(file.data).flatMap(({ decontaminate }) => Object.keys(decontaminate?.against ?? {})),
    ],
    models: casts.flatMap((cast) => Object.values(cast)),
    roles: casts.flatMap((cast) => Object.keys(cast)),
  };
  for (const part of ['data', 'models'] as const) {
    for (const [name, need] of Object.entries(recipe[part])) {
      if (need.startsWith('required') && !(name in file[part]))
        source.problem([part, name], `is missing; the recipe ${file.recipe} needs it`);
    }
    const other = file[part === 'data' ? 'models' : 'data'];
    for (const name of Object.keys(file[part])) {
      if (!(name in recipe[part]) && !ofSuites[part].includes(name))
        source.problem([part, name], `the recipe ${file.recipe} has no use for this${suggest(name, Object.keys(recipe[part]))}`, 'key');
      else if (!(name in recipe[part]) && name in { evaluation: {}, ...parameters, ...recipe.data, ...recipe.models, ...other })
        source.problem([part, name], `the recipe ${file.recipe} has something else of this name; give it another`, 'key');
    }
  }
  const either = Object.keys(recipe.data).filter((name) => recipe.data[name] === 'either');
  if (either.length > 0 && either.filter((name) => name in file.data).length !== 1)
    source.problem(['data'], `must have just one of ${either.join(' and ')}`);
  for (const role of Object.keys(file.roles)) {
    if (!recipe.roles.includes(role) && !ofSuites.roles.includes(role))
      source.problem(['roles', role], `the recipe ${file.recipe} has no such role${suggest(role, recipe.roles)}`, 'key');
  }
  const mustExist = (part: 'data' | 'models', named: string, ...path: string[]) => {
    if (named in file[part]) return;
    source.problem(path, `there is no ${named} under \`${part}\`${suggest(named, Object.keys(file[part]))}`);
  };
  for (const [label, { with: cast = {}, data }] of Object.entries(file.evaluation)) {
    if (data !== undefined) mustExist('data', data, 'evaluation', label, 'data');
    for (const [role, model] of Object.entries(cast)) mustExist('models', model, 'evaluation', label, 'with', role);
  }
  for (const [label, { decontaminate }] of Object.entries(file.data)) {
    for (const named of Object.keys(decontaminate?.against ?? {})) {
      const path = ['data', label, 'decontaminate', 'against', named];
      if (named === label) source.problem(path, 'is the dataset itself, of which nothing would be left', 'key');
      else mustExist('data', named, ...path);
    }
  }
  for (const name of Object.keys(file.evaluation)) {
    if (!recipe.evaluation.includes(name))
      source.problem(['evaluation', name], `the recipe ${file.recipe} evaluates no such thing${suggest(name, recipe.evaluation)}`, 'key');
  }
}

/** Binds a training command to the version of its program and to the text of its configuration file. */
async function bindCommand(source: Source, training: File['training'], folder: string): Promise<{ readonly command?: TrainingCommand }> {
  if (!training.run) return {};
  const run = training.run.map((argument) => (/^\.\.?\//.test(argument) ? resolve(folder, argument) : argument));
  const [unknown] = unknownPlaceholders(run);
  if (unknown) source.problem(['training', 'run'], `has {${unknown}}, which stands for nothing; there are ${placeholders()}`);
  const path = training.config === undefined ? undefined : resolve(folder, training.config);
  let text: string | undefined;
  try {
    text = path === undefined ? undefined : readFileSync(path, 'utf8');
  } catch (error) {
    source.problem(['training', 'config'], `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const config = path === undefined || text === undefined ? null : { path, text };
  if (training.version !== undefined) return { command: { run, config, version: training.version } };
  try {
    return { command: { run, config, version: await commandVersion(run[0]!) } };
  } catch (error) {
    source.problem(['training', 'run'], `${(error as Error).message} Install it here, or say its \`version\`.`);
    return {};
  }
}

/** With an absolute path. */
const notifyOf = ({ url, on }: Notify, folder: string): Notify => ({
  url: typeof url === 'object' && 'file' in url ? { file: resolve(folder, url.file) } : url,
  on,
});

async function bindModules(source: Source, modules: readonly string[], folder: string): Promise<BoundConfig['modules']> {
  const bound = [];
  for (const [index, module] of modules.entries()) {
    const path = isAbsolute(module) ? module : resolve(folder, module);
    if (isPromptFile({ path })) {
      source.problem(['modules', index], 'is a prompt file: name it in place of a prompt, as in prompts: { judge: ./judge.jinja }');
      continue;
    }
    try {
      bound.push({ path, digest: await moduleDigest(path) });
    } catch (error) {
      source.problem(['modules', index], `cannot be loaded: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return bound;
}

/** Checks ids and parameters of sources and suites, and the names of prompts and templates anywhere in `parameters`. */
function checkRegistered(source: Source, registry: Registry, file: File, parameters: object) {
  const checked = (part: 'data' | 'evaluation', label: string, kind: 'source' | 'suite', id: string, params: object) => {
    const definition = tryLookUp(
      () => registry[kind](id),
      (sentence) => source.problem([part, label, kind], sentence),
    );
    const own = definition?.params ? source.check(definition.params, params, [part, label, 'params']) : params;
    return [label, { id, params: own ?? {} }] as const;
  };
  const data = Object.entries(file.data).map(([label, { source: id, params, ...further }]) => {
    const [, read] = checked('data', label, 'source', id, params);
    return [label, { ...read, ...further }] as const;
  });
  const evaluation = Object.entries(file.evaluation).map(([label, { suite: id, params, ...chosen }]) => {
    const [, suite] = checked('evaluation', label, 'suite', id, params);
    checkChoice(source, registry, file, label);
    return [label, { ...suite, ...chosen }] as const;
  });
  for (const { path, kind, id } of namesIn(parameters, ['parameters']))
    tryLookUp(
      () => registry[kind](id),
      (sentence) => source.problem(path, sentence),
    );
  return { data: Object.fromEntries(data), evaluation: Object.fromEntries(evaluation) };
}

/** Checks that the suite has items, and a model for each role except the measured one, and for no other role. */
function checkChoice(source: Source, registry: Registry, file: File, label: string): void {
  const { suite: id, with: cast = {}, data } = file.evaluation[label]!;
  const ignore = () => {}; // reported before
  const suite = tryLookUp(() => registry.suite(id), ignore);
  if (!suite) return;
  if (suite.is === 'suite' && suite.asksData && data === undefined)
    source.problem(['evaluation', label], `the suite ${id} has no items of its own: name a dataset under \`data\``);
  if (data !== undefined && !(suite.is === 'suite' && suite.asksData))
    source.problem(['evaluation', label, 'data'], `the suite ${id} asks no dataset`, 'key');
  const roles = suite.is === 'suite' ? suite.ask.roles.filter((role) => role !== 'model') : [];
  const models = Object.keys(file.models);
  for (const role of roles) {
    if (!(role in cast))
      source.problem(
        ['evaluation', label],
        `the suite ${id} asks a model in the role ${role}: name it under \`with\`, as in with: { ${role}: ${models[0] ?? 'NAME'} }`,
      );
  }
  for (const role of Object.keys(cast)) {
    const path = ['evaluation', label, 'with', role];
    if (!roles.includes(role)) {
      const other = role === 'model' ? ', being what it measures' : suggest(role, roles);
      source.problem(path, `the suite ${id} casts no such role${other}`, 'key');
    }
  }
}

function tryLookUp<T>(look: () => T, otherwise: (sentence: string) => void): T | undefined {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    otherwise(error.message);
    return undefined;
  }
}
