/** Turns a bound configuration back into an experiment file. */
import { isPromptFile, promptId } from '../steps/prompt-files.ts';
import type { BoundConfig, HubModel } from '../schemas/config.ts';

const withoutCommit = ({ commit: _, ...model }: HubModel) => model;

/** The experiment file for others to launch: models and data from the Hub are those of the launch, and prompt files stand where the first
 *  file named them. Without `notify`, whose address is nobody else's business. */
export function sharedFileOf({ notify: _, ...bound }: BoundConfig): object {
  const { modules, data, models } = bound;
  const atCommit = ([name, { hub, ...it }]: [string, BoundConfig['data'][string]]) =>
    [name, { ...it, params: { ...it.params, ...(hub && { revision: hub.commit }) } }] as const;
  const file = fileOf({
    ...bound,
    data: Object.fromEntries(Object.entries(data).map(atCommit)),
    models: Object.fromEntries(
      Object.entries(models).map(([name, model]) => [name, 'hub' in model ? { ...model, revision: model.commit } : model]),
    ),
  });
  const prompts = new Map(modules.filter(isPromptFile).map(({ path, digest }) => [promptId(digest), path]));
  return JSON.parse(JSON.stringify(file), (_key, value: unknown) =>
    typeof value === 'string' ? (prompts.get(value) ?? value) : value,
  ) as object;
}

/** The experiment file that binds to `bound`; its paths are absolute. */
export function fileOf({
  recipe,
  seed,
  modules,
  data,
  models,
  serving,
  roles,
  training,
  evaluation,
  notify,
  review,
  license,
  parameters,
}: BoundConfig): object {
  const labelled = <T>(entries: { readonly [label: string]: T }, give: (entry: T) => object) =>
    Object.fromEntries(Object.entries(entries).map(([label, entry]) => [label, give(entry)]));
  return {
    recipe,
    seed,
    modules: modules.filter((module) => !isPromptFile(module)).map(({ path }) => path),
    data: labelled(data, ({ source, params, decontaminate }) => ({ source, params, ...(decontaminate && { decontaminate }) })),
    models: labelled(models, (model) => ('hub' in model ? withoutCommit(model) : model)),
    serving,
    roles: labelled(roles, (own) =>
      Object.fromEntries(Object.entries(own).filter(([key, value]) => serving[key as keyof typeof serving] !== value)),
    ),
    training: trainingOf(training),
    evaluation: labelled(evaluation, ({ id, ...it }) => ({ suite: id, ...it })),
    ...(notify && { notify }),
    ...(review !== undefined && { review }),
    ...(license !== undefined && { license }),
    parameters,
  };
}

/** `training` as a file has it. */
const trainingOf = ({ command, ...training }: BoundConfig['training']) =>
  command
    ? { ...training, engine: 'command', run: command.run, version: command.version, ...(command.config && { config: command.config.path }) }
    : training;
