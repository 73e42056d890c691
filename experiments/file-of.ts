/** Turns a bound configuration back into an experiment file. */
import { isPromptFile } from '../steps/prompt-files.ts';
import type { BoundConfig, HubModel } from '../schemas/config.ts';

const withoutCommit = ({ commit: _, ...model }: HubModel) => model;

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
    parameters,
  };
}

/** `training` as a file has it. */
const trainingOf = ({ command, ...training }: BoundConfig['training']) =>
  command
    ? { ...training, engine: 'command', run: command.run, version: command.version, ...(command.config && { config: command.config.path }) }
    : training;
