/** Data sources and models of an experiment file become steps like any other; a recipe gets their results under their names. */
import type { BoundConfig, HubModel } from '../schemas/config.ts';
import type { External } from '../schemas/external.ts';
import type { Result, StepCall } from '../schemas/call.ts';
import { RecipeRuntime, type StepEngine } from './runtime.ts';

/** What an external model is, wherever it is served. */
export type DeclaredModel = Pick<External, 'model' | 'revision'>;

const root = { path: [], arm: null, round: null };

/** What a recipe is called with: its parameters, its data, its models, and the suites to evaluate with. */
export async function recipeInputs(
  verbs: RecipeRuntime,
  config: Pick<BoundConfig, 'data' | 'models' | 'parameters' | 'evaluation'>,
): Promise<object> {
  const data = Object.entries(config.data).map(
    ([name, { source, params, folder, hub }]) =>
      [
        name,
        verbs.step(root, 'reduce', `source:${source}`, `data-${name}`, { params, folder, ...(hub && { commit: hub.commit }) }),
      ] as const,
  );
  const models = Object.entries(config.models).map(
    ([name, model]) =>
      [
        name,
        'path' in model
          ? verbs.step(root, 'reduce', 'model:path', `model-${name}`, { ...model })
          : 'hub' in model
            ? verbs.step(root, 'reduce', 'model:hub', `model-${name}`, identified(model))
            : 'init' in model
              ? verbs.step(root, 'reduce', 'model:init', `model-${name}`, model.init)
              : verbs.step(root, 'reduce', 'model:external', `model-${name}`, declared(model.external)),
      ] as const,
  );
  const all = await Promise.all([...data, ...models].map(async ([name, result]) => [name, await result] as const));
  const read = Object.fromEntries(all);
  const clean = Object.entries(config.data).map(
    async ([name, { decontaminate }]) => [name, decontaminate ? await cleaned(verbs, name, decontaminate, read) : read[name]] as const,
  );
  const named = { ...read, ...Object.fromEntries(await Promise.all(clean)) };
  const evaluation = Object.entries(config.evaluation).map(([label, { with: cast, data, ...suite }]) => {
    const models = Object.entries(cast ?? {}).map(([role, model]) => [role, named[model]] as const);
    return [
      label,
      { ...suite, ...(cast && { with: Object.fromEntries(models) }), ...(data !== undefined && { data: named[data] }) },
    ] as const;
  });
  return { ...config.parameters, ...named, evaluation: Object.fromEntries(evaluation) };
}

/** The records of a dataset that contain no item of others, both as they were read. */
function cleaned(
  verbs: RecipeRuntime,
  name: string,
  { against, words }: NonNullable<BoundConfig['data'][string]['decontaminate']>,
  read: Readonly<Record<string, Result>>,
): Promise<Result> {
  const items = Object.entries(against).map(([dataset, fields]) => ({ items: read[dataset], fields: [fields].flat() }));
  return verbs.step(root, 'reduce', 'std.decontaminate', decontaminationOf(name), {
    inputs: { of: read[name] },
    params: { against: items, words },
  });
}
/** Label and path of the step. */
export const decontaminationOf = (data: string): string => `decontaminate-${data}`;

/** A branch or tag may move; the commit says what it was. */
const identified = ({ revision: _, ...model }: HubModel) => model;

export const declared = ({ model, revision }: DeclaredModel): DeclaredModel => ({ model, revision });

export const externalModels = ({ models }: Pick<BoundConfig, 'models'>): readonly External[] =>
  Object.values(models).flatMap((model) => ('external' in model ? [model.external] : []));

/** What every step needs to know of its experiment. */
export const contextOf = (config: BoundConfig, configDigest?: string) => ({
  experiment: config.name,
  ...(configDigest === undefined ? {} : { configDigest }),
  seed: config.seed,
  modules: config.modules,
  serving: config.serving,
  roles: config.roles,
  training: config.training,
  external: externalModels(config),
  ...(config.notify && { notify: config.notify }),
});

/** Data sources and models are read in by these calls. */
export const isImport = ({ operation }: Pick<StepCall, 'operation'>): boolean =>
  operation.startsWith('source:') || operation.startsWith('model:');
export async function importsOf(config: BoundConfig): Promise<StepCall[]> {
  const calls: StepCall[] = [];
  const perform: StepEngine['perform'] = async (call) => {
    if (isImport(call)) calls.push(call);
    return { kind: 'model', digest: call.path };
  };
  await recipeInputs(new RecipeRuntime({ perform, shared: () => {} } as unknown as StepEngine), config);
  return calls;
}

/** A recipe from its file's materials to its results, every step that it asked for joined. */
export async function runRecipe(
  verbs: RecipeRuntime,
  recipe: (run: never, config: never) => Promise<object>,
  config: Parameters<typeof recipeInputs>[1],
): Promise<object> {
  const inputs = await recipeInputs(verbs, config);
  const results = await recipe(verbs.run as never, inputs as never);
  await verbs.joined();
  return results;
}
