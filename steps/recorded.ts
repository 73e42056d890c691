/** Reads finished steps from an experiment's record, for a workflow run whose ledger is too large to carry over. */
import { BackspinError } from '../schemas/errors.ts';
import type { RecordVersion } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';
import type { RecordedSteps } from '../schemas/steps.ts';

/** Steps per page: about a third of a megabyte. */
const PAGE = 1000;

/** Finished steps of a record in this version or a later one. */
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
