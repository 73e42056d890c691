/** Data sources and models of an experiment file become steps like any other; a recipe gets their results under their names. */
import type { Bound } from '../schemas/config.ts';
import type { External } from '../schemas/external.ts';
import type { Verbs } from './run.ts';

/** What an external model is, wherever it is served. */
export type Declared = Pick<External, 'model' | 'revision'>;

const root = { path: [], arm: null, round: null };

/** What a recipe is called with: its parameters, its data, its models, and the suites to evaluate with. */
export async function materials(verbs: Verbs, config: Pick<Bound, 'data' | 'models' | 'parameters' | 'evaluation'>): Promise<object> {
  const data = Object.entries(config.data).map(
    ([name, { source, params, folder }]) =>
      [name, verbs.step(root, 'reduce', `source:${source}`, `data-${name}`, { params, folder })] as const,
  );
  const models = Object.entries(config.models).map(
    ([name, model]) =>
      [
        name,
        'path' in model
          ? verbs.step(root, 'reduce', 'model:path', `model-${name}`, { ...model })
          : 'init' in model
            ? verbs.step(root, 'reduce', 'model:init', `model-${name}`, model.init)
            : verbs.step(root, 'reduce', 'model:external', `model-${name}`, declared(model.external)),
      ] as const,
  );
  const all = await Promise.all([...data, ...models].map(async ([name, result]) => [name, await result] as const));
  return { ...config.parameters, ...Object.fromEntries(all), evaluation: config.evaluation };
}

export const declared = ({ model, revision }: Declared): Declared => ({ model, revision });

export const externalModels = ({ models }: Pick<Bound, 'models'>): readonly External[] =>
  Object.values(models).flatMap((model) => ('external' in model ? [model.external] : []));

/** A recipe from its file's materials to its results, every step that it asked for joined. */
export async function runRecipe(
  verbs: Verbs,
  recipe: (run: never, config: never) => Promise<object>,
  config: Parameters<typeof materials>[1],
): Promise<object> {
  const inputs = await materials(verbs, config);
  const results = await recipe(verbs.run as never, inputs as never);
  await verbs.joined();
  return results;
}
