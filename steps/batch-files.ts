/** Paths and format of a step's batch files: a folder for each start of its chain, with a journal and a result per batch. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BatchTotals, MapStart } from '../schemas/steps.ts';
import { writeAtomic } from '../store/files.ts';
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
  const path = batchPath(store, stepKey, start, batch, 'result');
  return resultIn(await readFile(path, 'utf8').catch(() => ''), start);
}

function resultIn(text: string, { over, skip }: Pick<MapStart, 'over' | 'skip'>): BatchResult | undefined {
  try {
    const result = JSON.parse(text) as Partial<BatchResult>;
    const own = result.over === over.digest && result.skip === skip;
    return own && result.totals?.spans && result.done ? (result as BatchResult) : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the result of a batch and returns the one that stands: of two hosts that ran the batch to its end, that of the first. */
export async function putBatchResult(store: Store, stepKey: string, start: MapStart, result: BatchResult): Promise<BatchResult> {
  const path = batchPath(store, stepKey, start, result.totals.batch, 'result');
  const whole = (other: string) => {
    const { from, totals } = resultIn(other, start) ?? {};
    return from === result.from && totals !== undefined && totals.in >= result.totals.in && totals.spent === null;
  };
  const text = JSON.stringify(result);
  const stands = store.shared ? await store.shared.settle(path, text, whole) : text;
  await writeAtomic(path, stands);
  return stands === text ? result : resultIn(stands, start)!;
}
