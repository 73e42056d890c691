/** Joins the batches of a map in record order and groups them by source record. Checks every id: each record that enters an operator must
 *  leave it. */
import type { DatasetRef } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import type { Resolved } from './resolved.ts';
import { batchPath, batchResult, type BatchResult } from './batch-files.ts';
import type { BatchTotals, MapStart } from '../schemas/steps.ts';

type Head = Pick<Rec<unknown>, 'id' | 'from'>;
/** A record of the map's first dataset, and its outcome. */
type Entry = BatchResult['done'][number];

export interface Joining extends MapStart {
  readonly batches: number;
  /** Some records were not tried. */
  readonly partial: boolean;
  /** Output of the operators before the start; undefined: the map started with the first operator. */
  readonly started: Output | undefined;
  /** Whether to compare ids. Once covers all operators. */
  readonly check: boolean;
  readonly onBatch: (totals: BatchTotals) => void;
}

/** Yields for each source record, in order, the entries of the records that the operators before the start had made of it. Throws
 *  `ConservationViolated`. */
export async function* joinBatches(store: Store, resolved: Resolved, joining: Joining): AsyncGenerator<readonly Entry[]> {
  const { over, skip, batches, started, check, partial, onBatch } = joining;
  const fanned = started !== undefined && started.kept !== over.rows;
  const sourceOf = fanned ? await lineage(store, resolved, skip) : undefined;
  const records = check || fanned ? store.heads(over)[Symbol.asyncIterator]() : undefined;
  let group: Entry[] = [];
  let source: string | undefined;
  for (let batch = 0; batch < batches; batch++) {
    const { totals, done } = await readBatch(store, resolved, joining, batch);
    onBatch(totals);
    for (const entry of done) {
      const record = records && (await nextRecord(records, entry.id, partial));
      if (check) checkConservation(resolved, record !== undefined && isConserved(entry, joining, resolved.chain.length));
      const recordSource = record && sourceOf?.(record);
      // Equal records appear more than once if their sources are equal.
      if (group.length > 0 && (recordSource === undefined || recordSource !== source || group.some(({ id }) => id === entry.id))) {
        yield group;
        group = [];
      }
      source = recordSource;
      group.push(entry);
    }
  }
  if (group.length > 0) yield group;
  if (check && !partial) checkConservation(resolved, (await records!.next()).done === true);
}

/** Returns the next record, which must have this id. If some records were not tried, skips to the one with this id. */
async function nextRecord(records: AsyncIterator<Head>, id: string, partial: boolean): Promise<Head | undefined> {
  for (;;) {
    const { value, done } = await records.next();
    if (done) return undefined;
    if (value.id === id) return value;
    if (!partial) return undefined;
  }
}

/** Whether every record that entered an operator was either dropped by it or is the parent of a record that it kept. */
function isConserved({ id, kept, dropped }: Entry, { skip }: MapStart, length: number): boolean {
  let entering = [id];
  for (let op = skip; op < length; op++) {
    const made = kept[op];
    if (!made) return false;
    const undropped = new Set(entering);
    for (const drop of dropped) if (drop.op === op && !undropped.delete(drop.id)) return false;
    if (!made.every(({ from }) => undropped.has(from[0]!)) || new Set(made.map(({ from }) => from[0])).size !== undropped.size)
      return false;
    entering = made.map((record) => record.id);
  }
  return dropped.every(({ op }) => op >= skip && op < length);
}

/** Returns a function from a record that the first `skip` operators made to the id of its source. */
async function lineage(store: Store, { chain }: Resolved, skip: number): Promise<(record: Head) => string> {
  const levels: ReadonlyMap<string, string>[] = [];
  for (let op = skip - 2; op >= 0; op--) {
    const output = await store.output(chain[op]!.stepKey);
    if (!output) throw missingOutput(chain[op]!.operation);
    const parents = new Map<string, string>();
    for await (const { id, from } of store.heads(output.result as DatasetRef)) parents.set(id, from[0]!);
    levels.push(parents);
  }
  return ({ from }) => levels.reduce((id, parents) => parents.get(id)!, from[0]!);
}

/** Output of the operators before the start of a map. Throws `ArtifactMissing`. */
export async function beforeStart(store: Store, { chain }: Resolved, { skip }: MapStart): Promise<Output | undefined> {
  if (skip === 0) return undefined;
  const output = await store.output(chain[skip - 1]!.stepKey);
  if (!output) throw missingOutput(chain[skip - 1]!.operation);
  return output;
}

/** After `ArtifactMissing` the recipe restarts from the top, and lost steps run again. */
const missingOutput = (what: string) =>
  new BackspinError('ArtifactMissing', `What ${what} gave is not in the store any more: retry the step, and it is made again.`);

export function checkConservation(resolved: Resolved, holds: boolean): void {
  if (!holds)
    throw new BackspinError(
      'ConservationViolated',
      `Step ${resolved.call.path} lost or doubled a record: in is not kept + dropped. This is a bug in ${resolved.call.operation} or in backspin; nothing was committed.`,
    );
}

/** Throws `ArtifactMissing`. */
export async function readBatch(store: Store, { stepKey, call }: Resolved, start: MapStart, batch: number): Promise<BatchResult> {
  const result = await batchResult(store, stepKey, start, batch);
  if (result) return result;
  const path = batchPath(store, stepKey, start, batch, 'result');
  throw new BackspinError(
    'ArtifactMissing',
    `${path}, a batch of step ${call.path}, is gone or not whole: retry the step, and it runs again.`,
  );
}
