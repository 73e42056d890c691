/** Which sources and models another configuration reads in otherwise: they have no inputs that would tell. */
import { decontaminationOf } from '../recipe/inputs.ts';
import { canonical } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentInput } from '../schemas/messages.ts';

type Inputs = Pick<BoundConfig, 'data' | 'models'>;

/** Data and models, such as `data.corpus`, that are declared in another way than before, or were not. */
export function changedInputs(before: Inputs, now: Inputs): string[] {
  const changed = (part: keyof Inputs) =>
    Object.entries(now[part]).filter(([name, own]) => canonical(own) !== canonical(before[part][name] ?? null));
  return (['data', 'models'] as const).flatMap((part) => changed(part).map(([name]) => `${part}.${name}`));
}

/** Paths of the steps that give it to the recipe. */
export const stepsOf = (input: string): string[] =>
  input.startsWith('data.')
    ? [input.replace('data.', 'data-'), decontaminationOf(input.slice('data.'.length))]
    : [input.replace('models.', 'model-')];

/** Of what a fork has from its parent, what it still has under another configuration. */
export function stillPinned(pins: ExperimentInput['pins'], before: Inputs, now: Inputs): ExperimentInput['pins'] {
  const changed = changedInputs(before, now).flatMap(stepsOf);
  return Object.fromEntries(Object.entries(pins).filter(([path]) => !changed.includes(path)));
}
