/** Joins the slices of a map into its dataset, in record order, whatever order they ended in. */
import type { DatasetRef, ModelRef, Result } from '../recipe/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Determinism, Output } from '../schemas/store.ts';
import { recordId } from '../store/canonical.ts';
import type { DatasetWriter, Store } from '../store/store.ts';
import { slicePath, sliceResult, THREW, type SliceResult, type Span } from './slice.ts';
import { cutKey, type Resolved } from './resolve.ts';

/** Of the envelope of a record: `{ id, from, value }`. */
export const RECORDS = 'backspin/records@1';

export type Counts = Pick<Output, 'in' | 'kept' | 'dropped' | 'requests' | 'tokens' | 'seconds'>;

export function outputOf(
  resolved: Resolved,
  result: Result,
  counts: Counts,
  droppedRecords: DatasetRef | null,
  determinism: Determinism,
): Output {
  const { call, stepKey, inputs, params, versions, sources } = resolved;
  return {
    stepKey,
    verb: call.verb,
    what: call.what,
    result,
    ...counts,
    droppedRecords,
    inputs: [...inputs],
    params,
    versions,
    sources,
    determinism,
    made: new Date().toISOString(),
  };
}

/** The weakest determinism of the inputs, models among them, and of the step itself. */
export async function inherited(store: Store, own: Determinism, inputs: readonly (DatasetRef | ModelRef)[]): Promise<Determinism> {
  const order: readonly Determinism[] = ['exact', 'seeded', 'sampled', 'timing'];
  const manifest = (ref: DatasetRef | ModelRef) => (ref.kind === 'model' ? store.model(ref) : store.dataset(ref));
  const all = await Promise.all(inputs.map(async (ref) => (await manifest(ref)).determinism));
  return [own, ...all].reduce((a, b) => (order.indexOf(a) >= order.indexOf(b) ? a : b));
}

/** A map that has come to its end. */
export interface Mapped {
  readonly over: DatasetRef;
  /** Counted from the first: those that hold its records. */
  readonly slices: number;
  readonly until: number | null;
  /** Its budget was spent: not all of its records were tried. */
  readonly cut: boolean;
  readonly determinism: Determinism;
  /** What the operators gave that were done earlier: their dropped are counted here too. */
  readonly before: Output | undefined;
  /** When a child was at it, before the slices. */
  readonly child?: Span;
}

/** Commits every prefix of the chain, so that a change of its last operator asks the first nothing again. */
export async function commitMap(store: Store, resolved: Resolved, mapped: Mapped): Promise<Output> {
  const whole = mapped.until === null && !mapped.cut; // otherwise only the last operator has a result of its own
  const last = resolved.chain.length - 1;
  for (let op = 0; whole && op < last; op++) await commitPrefix(store, resolved, op, mapped);
  const output = await commitPrefix(store, resolved, last, mapped);
  if (!mapped.cut) await store.clearWork(resolved.stepKey); // a larger budget goes on from there
  return output;
}

/** What the chain gave up to `op`: a source record is kept when something of it is, else dropped for the reason it went last. */
async function commitPrefix(store: Store, resolved: Resolved, op: number, mapped: Mapped): Promise<Output> {
  const { over, slices, until, cut, before, child } = mapped;
  const writer = store.write(RECORDS);
  const drops = new Drops(store);
  const counts = { in: 0, kept: 0, requests: 0, tokens: 0 };
  const spans: Span[] = child ? [child] : [];
  let rows = 0;
  let lastThrown = '';
  try {
    if (before?.droppedRecords) for await (const { value } of store.read(before.droppedRecords)) await drops.again(value as DroppedRecord);
    counts.in = drops.count;
    reading: for (let slice = 0; slice < slices; slice++) {
      const { totals, done } = await readSlice(store, resolved, slice);
      counts.requests += totals.requests;
      counts.tokens += totals.tokens;
      spans.push(totals);
      for (const one of done) {
        if (until !== null && rows >= until) break reading;
        counts.in++;
        for (const record of one.kept[op]!) await writer.add(record);
        rows += one.kept[op]!.length;
        const gone = one.dropped.filter((drop) => drop.op <= op);
        if (one.kept[op]!.length > 0) counts.kept++;
        else {
          conserved(resolved, gone.length > 0);
          const { id, reason, evidence, value } = gone.at(-1)!;
          if (reason === THREW) lastThrown = evidence!;
          await drops.add(id, reason, evidence, value);
        }
      }
    }
    if (until === null && !cut) conserved(resolved, counts.in === over.rows + (before?.droppedRecords?.rows ?? 0));
    conserved(resolved, counts.in === counts.kept + drops.count);
    if (drops.count > 0 && drops.counts[THREW] === counts.in) await broken(store, resolved, drops.count, lastThrown);
    const determinism = await inherited(store, mapped.determinism, [over, ...Object.values(resolved.cast)]);
    const result = { ...(await writer.commit(determinism)), ...(counts.in > 0 ? { share: counts.kept / counts.in } : {}) };
    const { stepKey, what } = resolved.chain[op]!;
    const step = { ...resolved, stepKey: cut ? cutKey(resolved) : stepKey, call: { ...resolved.call, what } };
    return await store.putOutput(
      outputOf(step, result, { ...counts, seconds: secondsOf(spans), dropped: drops.counts }, await drops.commit(determinism), determinism),
    );
  } catch (error) {
    await writer.abort();
    await drops.abort();
    throw error;
  }
}

/** An operator that throws on every record is at fault itself; mended, it begins anew. */
async function broken(store: Store, { stepKey, call }: Resolved, records: number, evidence: string): Promise<never> {
  await store.clearWork(stepKey);
  throw new BackspinError(
    'ConfigError',
    `Step ${call.path} has no result: on each of its ${records} records ${evidence}. Mend the operator.`,
  );
}

/** Seconds in which at least one of the slices was worked on. */
export function secondsOf(spans: readonly Span[]): number {
  let [milliseconds, until] = [0, 0];
  for (const { began, ended } of spans.toSorted((a, b) => a.began - b.began)) {
    milliseconds += Math.max(0, ended - Math.max(began, until));
    until = Math.max(until, ended);
  }
  return milliseconds / 1000;
}

export function conserved(resolved: Resolved, holds: boolean): void {
  if (!holds)
    throw new BackspinError(
      'ConservationViolated',
      `Step ${resolved.call.path} lost or doubled a record: in is not kept + dropped. This is a bug in ${resolved.call.what} or in backspin; nothing was committed.`,
    );
}

/** Throws `ArtifactMissing`, for which an experiment goes from the top: then what is lost runs again. */
export async function readSlice(store: Store, { stepKey, call }: Resolved, slice: number): Promise<SliceResult> {
  const result = await sliceResult(store, stepKey, slice);
  if (result) return result;
  const path = slicePath(store, stepKey, slice, 'result');
  throw new BackspinError(
    'ArtifactMissing',
    `${path}, a slice of step ${call.path}, is gone or not whole: retry the step, and it runs again.`,
  );
}

export interface DroppedRecord {
  readonly id: string;
  readonly reason: string;
  readonly evidence: string | null;
  readonly value: unknown;
}

/** The dropped of a step, counted and kept to be looked at. */
export class Drops {
  readonly counts: Record<string, number> = {};
  count = 0;
  readonly #store: Store;
  #writer: DatasetWriter | undefined;

  constructor(store: Store) {
    this.#store = store;
  }
  async add(id: string, reason: string, evidence: string | null, value: unknown): Promise<void> {
    await this.again({ id, reason, evidence, value });
  }
  /** One that was dropped in an earlier step. */
  async again(about: DroppedRecord): Promise<void> {
    this.#writer ??= this.#store.write(RECORDS);
    this.counts[about.reason] = (this.counts[about.reason] ?? 0) + 1;
    this.count++;
    await this.#writer.add({ id: recordId(about, [about.id]), from: [about.id], value: about });
  }
  async commit(determinism: Determinism): Promise<DatasetRef | null> {
    return this.#writer ? this.#writer.commit(determinism) : null;
  }
  async abort(): Promise<void> {
    await this.#writer?.abort();
  }
}
