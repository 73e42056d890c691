/** Paths and format of a step's batch files: a folder for each start of its chain, with a journal and a result per batch. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BatchTotals, MapStart } from '../schemas/steps.ts';
import type { Store } from '../store/store.ts';
import type { Done } from './journal.ts';

export const batchesFolder = (store: Pick<Store, 'work'>, stepKey: string) => join(store.work(stepKey), 'batches');
export const startName = ({ over, skip, build }: MapStart) =>
  [skip, over.digest.slice(0, 16), build.slice(0, 8)].filter((part) => part !== '').join('-');
export const startFolder = (store: Pick<Store, 'work'>, stepKey: string, start: MapStart) =>
  join(batchesFolder(store, stepKey), startName(start));
export const batchPath = (store: Store, stepKey: string, start: MapStart, batch: number, kind: 'journal' | 'result') =>
  join(startFolder(store, stepKey, start), `${String(batch).padStart(5, '0')}.${kind === 'journal' ? 'jsonl' : 'json'}`);

export interface BatchResult {
  /** Digest of the dataset that the map starts with. */
  readonly over: string;
  readonly skip: number;
  /** Row of the first record in `over`. */
  readonly from: number;
  readonly totals: BatchTotals;
  /** Finished records in order: all, or those before the step reached a limit. */
  readonly done: readonly (Done & { readonly id: string })[];
}

/** Returns the result of a batch. Undefined if the batch has not ended, or if its file is torn or belongs to other records: then the batch
 *  runs again from its journal. */
export async function batchResult(store: Store, stepKey: string, start: MapStart, batch: number): Promise<BatchResult | undefined> {
  try {
    const result = JSON.parse(await readFile(batchPath(store, stepKey, start, batch, 'result'), 'utf8')) as Partial<BatchResult>;
    const own = result.over === start.over.digest && result.skip === start.skip;
    return own && result.totals?.spans && result.done ? (result as BatchResult) : undefined;
  } catch {
    return undefined;
  }
}
