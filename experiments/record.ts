/** The records of experiments in a store. */
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import { suggest } from '../schemas/nearest.ts';
import type { Store } from '../store/store.ts';
import { soundRecord } from './recovered.ts';

/** The experiment of this name; otherwise says which there are. */
export async function experimentOf(store: Store, name: string): Promise<ExperimentRecord> {
  const record = await soundRecord(store, name);
  if (record) return record;
  const names = await store.experimentNames();
  throw new BackspinError(
    'NotFound',
    `There is no experiment "${name}" in ${store.root}${names.length === 0 ? '; none was launched yet' : suggest(name, names)}.`,
  );
}

/** The experiments that have not ended, as the store knows them; a damaged record is passed over. */
export async function openExperiments(store: Store): Promise<ExperimentRecord[]> {
  const records = await Promise.all((await store.experimentNames()).map((name) => store.experiment(name).catch(() => undefined)));
  return records.filter((record) => record !== undefined).filter((record) => !isClosed(record));
}
