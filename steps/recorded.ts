/** What a run of an experiment has from the run before where that is too much to be carried. */
import { BackspinError } from '../schemas/errors.ts';
import type { RecordVersion } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';
import type { RecordedSteps } from '../schemas/steps.ts';

/** Steps that are read at once: a third of a megabyte. */
const PAGE = 1000;

/** Finished steps of a record as it was written then, or is by now. */
export async function recordedSteps(
  store: Pick<Store, 'experiment'>,
  name: string,
  since: RecordVersion,
  from: number,
): Promise<RecordedSteps | null> {
  const record = await store.experiment(name).catch((error: unknown) => {
    if (error instanceof BackspinError) return undefined; // damaged
    throw error;
  });
  if (record?.written?.run !== since.run || record.written.count < since.count) return null;
  const steps = record.steps
    .slice(from, from + PAGE)
    .flatMap(({ path, fingerprint, state, result, stepKey, cached }) =>
      state === 'completed' && fingerprint !== undefined && result !== null && stepKey !== null
        ? [{ path, fingerprint, entry: { result, stepKey, cached } }]
        : [],
    );
  return { steps, next: from + PAGE < record.steps.length ? from + PAGE : null };
}
