/** What of an experiment's imports has changed on disk since they were read in. */
import { BackspinError } from '../schemas/errors.ts';
import { resolve } from './resolve.ts';
import type { Services } from './services.ts';
import type { StepContext, ImportedStep } from '../schemas/steps.ts';

/** Those whose files, settings or module now give another key. What cannot be read any more counts as it was: the store has it. */
export async function changedImports(
  { registry, machine }: Pick<Services, 'registry' | 'machine'>,
  imported: readonly ImportedStep[],
  context: StepContext,
): Promise<readonly ImportedStep[]> {
  const changed: ImportedStep[] = [];
  for (const one of imported) {
    try {
      const { stepKey } = await resolve(one.call, context, await registry(context.modules), machine);
      if (stepKey !== one.stepKey) changed.push(one);
    } catch (error) {
      if (!(error instanceof BackspinError)) throw error;
    }
  }
  return changed;
}
