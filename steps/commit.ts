/** Joins the batches of a map into its dataset, in record order, whatever order they ended in. */
import type { DatasetRef, ModelRef, Result } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Determinism, Output } from '../schemas/store.ts';
import { recordId } from '../schemas/canonical.ts';
import type { DatasetWriter, Store } from '../store/store.ts';
import { beforeStart, conserved, joined, type Joining } from './joined.ts';
import type { Done } from './journal.ts';
import { triggerPoint } from './trigger-points.ts';
import { THREW } from './chain.ts';
import type { BatchTotals, MapStart, Span } from '../schemas/steps.ts';
import { secondsOf } from './spans.ts';
import { Endings } from './unread.ts';
import { cutKey } from './key.ts';
import type { Resolved } from './resolved.ts';

/** Of the envelope of a record: `{ id, from, value }`. */
export const RECORDS = 'backspin/records@1';

export type Counts = Pick<Output, 'in' | 'kept' | 'dropped' | 'parts' | 'unread' | 'requests' | 'tokens' | 'attempts' | 'seconds'>;

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
    operation: call.operation,
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
export interface Mapped extends MapStart {
  /** Counted from the first: those that hold its records. */
  readonly batches: number;
  readonly until: number | null;
  /** Its budget was spent: not all of its records were tried. */
  readonly cut: boolean;
  readonly determinism: Determinism;
  /** When a child was at it, before the batches. */
  readonly child?: readonly Span[];
}

/** Commits every prefix of the chain, so that a change of its last operator asks the first nothing again. */
export async function commitMap(store: Store, resolved: Resolved, mapped: Mapped): Promise<Output> {
  const { skip, until, cut } = mapped;
  const last = resolved.chain.length - 1;
  const { quorum = 1 } = resolved.call.inputs as { quorum?: number };
  const whole = until === null && !cut && quorum === 1; // otherwise only the last operator has a result of its own
  await triggerPoint('commit: before the first prefix');
  const started = await beforeStart(store, resolved, mapped);
  let output = started;
  for (let op = whole ? skip : last; op <= last; op++) {
    const since = whole ? op : skip;
    output = await commitPrefix(store, resolved, { ...mapped, started, before: output, since, op, check: since === skip });
    if (op < last) await triggerPoint('commit: after a prefix');
  }
  await triggerPoint('commit: before its work is cleared');
  if (!cut) await store.clearWork(resolved.stepKey); // a larger budget goes on from there
  return output!;
}

interface Prefix extends Mapped, Pick<Joining, 'started' | 'check'> {
  /** The last operator of the prefix. */
  readonly op: number;
  /** The first whose dropped records are not in `before`, which is what was committed of those before it. */
  readonly since: number;
  readonly before: Output | undefined;
}

/**
 * What the chain gave up to `op`. A source record counts as kept if something of it is left, otherwise as dropped, for the reason for
 * which the last of it went; `parts` counts every other record that was dropped on the way. The dropped of `before` come first: so
 * neither their order nor a count tells where the map began.
 */
async function commitPrefix(store: Store, resolved: Resolved, prefix: Prefix): Promise<Output> {
  const { over, op, since, until, cut, before, child, skip } = prefix;
  const writer = store.write(RECORDS);
  const drops = new Drops(store, Object.keys(resolved.cast).length > 0);
  const counts = { in: 0, kept: 0, requests: 0, tokens: 0, attempts: 0 };
  const spans: Span[] = [...(child ?? [])];
  const onBatch = (totals: BatchTotals) => {
    counts.requests += totals.requests;
    counts.tokens += totals.tokens;
    counts.attempts += totals.attempts;
    spans.push(...totals.spans);
  };
  let rows = 0;
  let lastThrown = '';
  try {
    if (before) await drops.goOn(before);
    for await (const source of joined(store, resolved, { ...prefix, partial: cut || until !== null, onBatch })) {
      if (until !== null && rows >= until) break;
      if (since > skip && source.every((entry) => entry.kept[since - 1]!.length === 0)) continue; // it went before
      counts.in++;
      const left = rows;
      for (const entry of source) {
        for (const record of entry.kept[op]!) await writer.add(record);
        rows += entry.kept[op]!.length;
      }
      if (rows > left) counts.kept++;
      const gone = source.flatMap((entry) => entry.dropped.filter((drop) => drop.op >= since && drop.op <= op));
      const last = gone.at(-1);
      if (last?.reason === THREW) lastThrown = last.evidence!;
      if (last) await drops.ofSource(gone, rows > left);
    }
    conserved(resolved, before === undefined || cut || counts.in === before.kept);
    counts.in += before ? before.in - before.kept : 0;
    conserved(resolved, counts.in === counts.kept + drops.count);
    if (drops.count > 0 && drops.counts[THREW] === counts.in) await broken(store, resolved, drops.count, lastThrown);
    const determinism = await inherited(store, prefix.determinism, [over, ...Object.values(resolved.cast)]);
    const result = { ...(await writer.commit(determinism)), ...(counts.in > 0 ? { share: counts.kept / counts.in } : {}) };
    const { stepKey, operation } = resolved.chain[op]!;
    const step = { ...resolved, stepKey: cut ? cutKey(resolved) : stepKey, call: { ...resolved.call, operation } };
    const dropped = { dropped: drops.counts, ...(Object.keys(drops.parts).length > 0 && { parts: drops.parts }), ...drops.unread };
    const droppedRecords = await drops.commit(determinism);
    await triggerPoint('commit: before an output');
    return await store.putOutput(outputOf(step, result, { ...counts, ...dropped, seconds: secondsOf(spans) }, droppedRecords, determinism));
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

export interface DroppedRecord {
  readonly id: string;
  readonly reason: string;
  readonly evidence: string | null;
  readonly value: unknown;
}

/** The dropped of a step, counted and kept to be looked at. */
export class Drops {
  /** Sources of which nothing is left, by reason. */
  readonly counts: Record<string, number> = {};
  /** Other records that were dropped on the way, by reason. */
  readonly parts: Record<string, number> = {};
  readonly #store: Store;
  readonly #endings: Endings | undefined;
  #writer: DatasetWriter | undefined;

  constructor(store: Store, asksModels = false) {
    this.#store = store;
    if (asksModels) this.#endings = new Endings();
  }
  get unread(): Pick<Output, 'unread'> {
    const unread = this.#endings?.mostFrequent() ?? [];
    return unread.length > 0 ? { unread } : {};
  }
  /** Such sources. */
  get count(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }
  async add(id: string, reason: string, evidence: string | null, value: unknown): Promise<void> {
    count(this.counts, reason);
    await this.#write({ id, reason, evidence, value });
  }
  /** Records of one source, dropped by operators. If it is not `kept`, the last of them stands for it. */
  async ofSource(gone: Done['dropped'], kept: boolean): Promise<void> {
    const inOrder = gone.toSorted((a, b) => a.op - b.op);
    for (const [i, { id, reason, evidence, value }] of inOrder.entries()) {
      count(!kept && i === gone.length - 1 ? this.counts : this.parts, reason);
      await this.#write({ id, reason, evidence, value });
    }
  }
  /** Begins with what was dropped in an earlier step. */
  async goOn({ dropped, parts, droppedRecords }: Output): Promise<void> {
    Object.assign(this.counts, dropped);
    Object.assign(this.parts, parts);
    if (droppedRecords) for await (const { value } of this.#store.read(droppedRecords)) await this.#write(value as DroppedRecord);
  }
  async #write(about: DroppedRecord): Promise<void> {
    this.#writer ??= this.#store.write(RECORDS);
    if (about.evidence !== null && about.reason.startsWith('no-')) this.#endings?.add(about.evidence);
    await this.#writer.add({ id: recordId(about, [about.id]), from: [about.id], value: about });
  }
  async commit(determinism: Determinism): Promise<DatasetRef | null> {
    return this.#writer ? this.#writer.commit(determinism) : null;
  }
  async abort(): Promise<void> {
    await this.#writer?.abort();
  }
}
const count = (counts: Record<string, number>, reason: string): void => void (counts[reason] = (counts[reason] ?? 0) + 1);
