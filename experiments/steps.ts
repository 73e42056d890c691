/** Finds a step by its path, the end of its path, or the beginning of its key. */
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { suggest } from '../schemas/nearest.ts';

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
