/** Files of the batches of a step: a folder for each start of its chain, and in it a journal and a result for each batch. */
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
  /** Digest of the dataset that the map began with. */
  readonly over: string;
  readonly skip: number;
  /** Row in `over` of the first record. */
  readonly from: number;
  readonly totals: BatchTotals;
  /** Records that ended, in order: all, or those before the step reached a limit. */
  readonly done: readonly (Done & { readonly id: string })[];
}

/** The result of a batch. Undefined if it has not ended, or if its file is torn or of other records: then the batch runs again from its
 *  journal. */
export async function batchResult(store: Store, stepKey: string, start: MapStart, batch: number): Promise<BatchResult | undefined> {
  try {
    const result = JSON.parse(await readFile(batchPath(store, stepKey, start, batch, 'result'), 'utf8')) as Partial<BatchResult>;
    const own = result.over === start.over.digest && result.skip === start.skip;
    return own && result.totals?.spans && result.done ? (result as BatchResult) : undefined;
  } catch {
    return undefined;
  }
}
