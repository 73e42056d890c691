/** Finds a step of an experiment, and what it has given. */
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { suggest } from '../schemas/nearest.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';

/** By its path, the end of its path, or the beginning of its key. */
export function findStep({ name, steps }: ExperimentRecord, wanted: string): Step {
  const exact = steps.filter(({ path }) => path === wanted);
  const found =
    exact.length > 0
      ? exact
      : steps.filter(({ path, stepKey }) => path.endsWith(`/${wanted}`) || (wanted.length >= 6 && stepKey?.startsWith(wanted)));
  if (found.length === 1) return found[0]!;
  if (found.length > 1)
    throw new BackspinError(
      'NotFound',
      `"${wanted}" names several steps of ${name}; give one of ${found.map(({ path }) => path).join(', ')}.`,
    );
  const paths = steps.map(({ path }) => path);
  const there = paths.length === 0 ? '; it has begun none yet' : suggest(wanted, paths);
  throw new BackspinError('NotFound', `The experiment ${name} has no step "${wanted}"${there}.`);
}

/** The step's output. Throws `NotFound` if it has none yet, and `ArtifactMissing` if it is lost. */
export async function outputOf(store: Store, experiment: string, step: Step): Promise<Output> {
  const output = step.stepKey === null ? undefined : await store.output(step.stepKey);
  if (output) return output;
  if (step.state === 'completed')
    throw new BackspinError(
      'ArtifactMissing',
      `What the step ${step.path} has given is not in ${store.location} any more: launch the experiment again, and it is made again.`,
    );
  throw new BackspinError(
    'NotFound',
    `The step ${step.path} has given nothing yet (${step.state}): \`backspin status ${experiment}\` shows how far it is.`,
  );
}
