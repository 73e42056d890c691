/** Joins the slices of a map into its dataset, in record order, whatever order they ended in. */
import { readFile } from 'node:fs/promises';
import type { DatasetRef, Result } from '../recipe/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Determinism, Output } from '../schemas/store.ts';
import { recordId } from '../store/canonical.ts';
import type { DatasetWriter, Store } from '../store/store.ts';
import type { Done } from './journal.ts';
import { slicePath, type SliceTotals } from './slice.ts';
import type { Resolved } from './resolve.ts';

/** Of the envelope of a record: `{ id, from, value }`. */
export const RECORDS = 'backspin/records@1';

export type Counts = Pick<Output, 'in' | 'kept' | 'dropped' | 'requests' | 'tokens' | 'seconds'>;

export function outputOf(resolved: Resolved, result: Result, counts: Counts, droppedRecords: DatasetRef | null, determinism: Determinism): Output {
  const { call, stepKey, inputs, params, versions, sources } = resolved;
  return { stepKey, verb: call.verb, what: call.what, result, ...counts, droppedRecords, inputs: [...inputs], params, versions, sources, determinism, made: new Date().toISOString() };
}

/** The weakest determinism of the inputs and of the step itself. */
export async function inherited(store: Store, own: Determinism, inputs: readonly DatasetRef[]): Promise<Determinism> {
  const order: readonly Determinism[] = ['exact', 'seeded', 'sampled', 'timing'];
  const all = await Promise.all(inputs.map(async (ref) => (await store.dataset(ref)).determinism));
  return [own, ...all].reduce((a, b) => (order.indexOf(a) >= order.indexOf(b) ? a : b));
}

/** Commits every prefix of the chain, so that a change of its last operator asks the first nothing again. */
export async function commitMap(store: Store, resolved: Resolved, over: DatasetRef, slices: number, until: number | null): Promise<Output> {
  let last: Output | undefined;
  for (let op = 0; op < resolved.chain.length; op++) {
    const whole = op === resolved.chain.length - 1;
    if (!whole && until !== null) continue; // cut short by what the last one kept: no result of its own
    last = await commitPrefix(store, resolved, op, over, slices, whole ? until : null);
  }
  await store.clearWork(resolved.stepKey);
  return last!;
}

async function commitPrefix(store: Store, resolved: Resolved, op: number, over: DatasetRef, slices: number, until: number | null): Promise<Output> {
  const kept = store.write(RECORDS);
  const drops = new Drops(store);
  const counts = { in: 0, kept: 0, requests: 0, tokens: 0, seconds: 0 };
  let sources = 0;
  try {
    reading: for (let slice = 0; slice < slices; slice++) {
      const { totals, done } = await readSlice(store, resolved.stepKey, slice);
      counts.requests += totals.requests;
      counts.tokens += totals.tokens;
      counts.seconds += totals.seconds;
      for (const one of done) {
        if (until !== null && counts.kept >= until) break reading;
        counts.in++;
        const before = op === 0 ? 1 : one.kept[op - 1]!.length;
        const gone = one.dropped.filter((drop) => drop.op === op);
        const keptSources = new Set(one.kept[op]!.map((record) => record.from[0])).size;
        conserved(resolved, before === keptSources + gone.length);
        if (op > 0) counts.in += before - 1;
        sources += keptSources;
        for (const record of one.kept[op]!) await kept.add(record);
        counts.kept += one.kept[op]!.length;
        for (const drop of gone) await drops.add(drop.id, drop.reason, drop.evidence, drop.value);
      }
    }
    if (until === null && op === 0) conserved(resolved, counts.in === over.rows);
    const own = resolved.determinism;
    const determinism = await inherited(store, own, [over]);
    const result = { ...(await kept.commit(determinism)), ...(counts.in > 0 ? { share: sources / counts.in } : {}) };
    const { stepKey, what } = resolved.chain[op]!;
    const step = { ...resolved, stepKey, call: { ...resolved.call, what } };
    return await store.putOutput(outputOf(step, result, { ...counts, kept: sources, dropped: drops.counts }, await drops.commit(determinism), determinism));
  } catch (error) {
    await kept.abort();
    await drops.abort();
    throw error;
  }
}

function conserved(resolved: Resolved, holds: boolean): void {
  if (!holds) throw new BackspinError('ConservationViolated', `Step ${resolved.call.path} lost or doubled a record: in is not kept + dropped. This is a bug in ${resolved.call.what} or in backspin; nothing was committed.`);
}

async function readSlice(store: Store, stepKey: string, slice: number): Promise<{ totals: SliceTotals; done: (Done & { id: string })[] }> {
  const path = slicePath(store, stepKey, slice, 'result');
  try {
    return JSON.parse(await readFile(path, 'utf8')) as { totals: SliceTotals; done: (Done & { id: string })[] };
  } catch {
    throw new BackspinError('WrongVersion', `The slice ${path} is not there: its shard runs again.`);
  }
}

/** The dropped of a step, counted and kept to be looked at. */
export class Drops {
  readonly counts: Record<string, number> = {};
  readonly #store: Store;
  #writer: DatasetWriter | undefined;

  constructor(store: Store) {
    this.#store = store;
  }
  async add(id: string, reason: string, evidence: string | null, value: unknown): Promise<void> {
    this.#writer ??= this.#store.write(RECORDS);
    this.counts[reason] = (this.counts[reason] ?? 0) + 1;
    const about = { reason, evidence, value };
    await this.#writer.add({ id: recordId(about, [id]), from: [id], value: about });
  }
  async commit(determinism: Determinism): Promise<DatasetRef | null> {
    return this.#writer ? this.#writer.commit(determinism) : null;
  }
  async abort(): Promise<void> {
    await this.#writer?.abort();
  }
}
