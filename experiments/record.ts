/** Reads the records of experiments in a store. */
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import { suggest } from '../schemas/nearest.ts';
import type { Store } from '../store/store.ts';
import { readOrRestore } from './restore.ts';

/** Returns the experiment of this name, or throws with the names that exist. */
export async function experimentOf(store: Store, name: string): Promise<ExperimentRecord> {
  const record = await readOrRestore(store, name);
  if (record) return record;
  const names = await store.experimentNames();
  throw new BackspinError(
    'NotFound',
    `There is no experiment "${name}" in ${store.location}${names.length === 0 ? '; none was launched yet' : suggest(name, names)}.`,
  );
}

/** Returns the open experiments in the store; skips damaged records. */
export async function openExperiments(store: Store): Promise<ExperimentRecord[]> {
  const records = await Promise.all((await store.experimentNames()).map((name) => store.experiment(name).catch(() => undefined)));
  return records.filter((record) => record !== undefined).filter((record) => !isClosed(record));
}
