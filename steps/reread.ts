/** Finds imports of an experiment that have changed on disk since. */
import { BackspinError } from '../schemas/errors.ts';
import { resolve } from './resolve.ts';
import type { Services } from './services.ts';
import type { StepContext, ImportedStep } from '../schemas/steps.ts';

/** Imports whose files, settings or module now give another key. An unreadable one counts as unchanged: the store has its content. */
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
