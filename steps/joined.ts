/** The batches of a map, joined in record order and grouped by source record. Every id is checked: what enters an operator leaves it. */
import type { DatasetRef } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import type { Resolved } from './resolved.ts';
import { batchPath, batchResult, type BatchResult } from './batch-files.ts';
import type { BatchTotals, MapStart } from '../schemas/steps.ts';

/** A record of the dataset that a map began with, and its outcome. */
type Entry = BatchResult['done'][number];

export interface Joining extends MapStart {
  readonly batches: number;
  /** Not all of its records were tried. */
  readonly partial: boolean;
  /** What the operators before its start gave; undefined: it began with the first. */
  readonly started: Output | undefined;
  /** Compare ids. One comparison covers all operators. */
  readonly check: boolean;
  readonly onBatch: (totals: BatchTotals) => void;
}

/** For each source record, in order, the entries of what the operators before the start had made of it. Throws `ConservationViolated`. */
export async function* joined(store: Store, resolved: Resolved, joining: Joining): AsyncGenerator<readonly Entry[]> {
  const { over, skip, batches, started, check, partial, onBatch } = joining;
  const fanned = started !== undefined && started.kept !== over.rows;
  const sourceOf = fanned ? await lineage(store, resolved, skip) : undefined;
  const records = check || fanned ? store.read(over, { from: 0, to: over.rows })[Symbol.asyncIterator]() : undefined;
  let group: Entry[] = [];
  let source: string | undefined;
  for (let batch = 0; batch < batches; batch++) {
    const { totals, done } = await readBatch(store, resolved, joining, batch);
    onBatch(totals);
    for (const entry of done) {
      const record = records && (await found(records, entry.id, partial));
      if (check) conserved(resolved, record !== undefined && isConserved(entry, joining, resolved.chain.length));
      const own = record && sourceOf?.(record);
      // Equal records stand more than once where equal sources do.
      if (group.length > 0 && (own === undefined || own !== source || group.some(({ id }) => id === entry.id))) {
        yield group;
        group = [];
      }
      source = own;
      group.push(entry);
    }
  }
  if (group.length > 0) yield group;
  if (check && !partial) conserved(resolved, (await records!.next()).done === true);
}

/** The next record, which must have this id; where some were not tried, the next that has it. */
async function found(records: AsyncIterator<Rec<unknown>>, id: string, partial: boolean): Promise<Rec<unknown> | undefined> {
  for (;;) {
    const { value, done } = await records.next();
    if (done) return undefined;
    if (value.id === id) return value;
    if (!partial) return undefined;
  }
}

/** Whether every record that entered an operator was dropped by it or is what one that it kept was made from. */
function isConserved({ id, kept, dropped }: Entry, { skip }: MapStart, length: number): boolean {
  let entering = [id];
  for (let op = skip; op < length; op++) {
    const made = kept[op];
    if (!made) return false;
    const left = new Set(entering);
    for (const drop of dropped) if (drop.op === op && !left.delete(drop.id)) return false;
    if (!made.every(({ from }) => left.has(from[0]!)) || new Set(made.map(({ from }) => from[0])).size !== left.size) return false;
    entering = made.map((record) => record.id);
  }
  return dropped.every(({ op }) => op >= skip && op < length);
}

/** The source of a record that the first `skip` operators made, read from what each of them gave. */
async function lineage(store: Store, { chain }: Resolved, skip: number): Promise<(record: Rec<unknown>) => string> {
  const levels: ReadonlyMap<string, string>[] = [];
  for (let op = skip - 2; op >= 0; op--) {
    const output = await store.output(chain[op]!.stepKey);
    if (!output) throw missing(chain[op]!.operation);
    const parents = new Map<string, string>();
    for await (const { id, from } of store.read(output.result as DatasetRef)) parents.set(id, from[0]!);
    levels.push(parents);
  }
  return ({ from }) => levels.reduce((id, parents) => parents.get(id)!, from[0]!);
}

/** What the operators gave that were done before a map began. Throws `ArtifactMissing`. */
export async function beforeStart(store: Store, { chain }: Resolved, { skip }: MapStart): Promise<Output | undefined> {
  if (skip === 0) return undefined;
  const output = await store.output(chain[skip - 1]!.stepKey);
  if (!output) throw missing(chain[skip - 1]!.operation);
  return output;
}

/** On `ArtifactMissing` the recipe restarts from the top, and lost steps run again. */
const missing = (what: string) =>
  new BackspinError('ArtifactMissing', `What ${what} gave is not in the store any more: retry the step, and it is made again.`);

export function conserved(resolved: Resolved, holds: boolean): void {
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
