/** Which sources and models another configuration reads in otherwise: they have no inputs that would tell. */
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

/** Path of the step that reads it in. */
export const stepOf = (input: string): string => input.replace('data.', 'data-').replace('models.', 'model-');

/** Of what a fork has from its parent, what it still has under another configuration. */
export function stillPinned(pins: ExperimentInput['pins'], before: Inputs, now: Inputs): ExperimentInput['pins'] {
  const changed = changedInputs(before, now).map(stepOf);
  return Object.fromEntries(Object.entries(pins).filter(([path]) => !changed.includes(path)));
}
