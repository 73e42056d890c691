/** Joins the batches of a map into its dataset, in record order. */
import type { DatasetRef, ModelRef, Result } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Determinism, Output } from '../schemas/store.ts';
import { recordId } from '../schemas/canonical.ts';
import type { DatasetWriter, Store } from '../store/store.ts';
import { beforeStart, checkConservation, joinBatches, type Joining } from './joined.ts';
import type { Done } from './journal.ts';
import { triggerPoint } from './trigger-points.ts';
import { THREW } from './chain.ts';
import { addUses, type BatchTotals, type MapStart, type Span, type TokenUses } from '../schemas/steps.ts';
import { secondsOf } from './spans.ts';
import { Endings } from './unread.ts';
import { cutKey } from './key.ts';
import type { Resolved } from './resolved.ts';

/** Schema of record datasets: `{ id, from, value }`. */
export const RECORDS = 'backspin/records@1';

export type Counts = Pick<Output, 'in' | 'kept' | 'dropped' | 'parts' | 'unread' | 'requests' | 'uses' | 'tokens' | 'attempts' | 'seconds'>;

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

/** Uses of roles as those of their models. */
export function usesOf({ cast }: Pick<Resolved, 'cast'>, byRole: TokenUses): Pick<Counts, 'uses'> {
  const entries = Object.entries(byRole);
  if (entries.length === 0) return {};
  return { uses: entries.reduce<TokenUses>((sum, [role, use]) => addUses(sum, { [cast[role]!.digest]: use }), {}) };
}

/** The weakest determinism of the step itself and its inputs, including models. */
export async function weakestDeterminism(store: Store, own: Determinism, inputs: readonly (DatasetRef | ModelRef)[]): Promise<Determinism> {
  const order: readonly Determinism[] = ['exact', 'seeded', 'sampled', 'timing'];
  const manifest = (ref: DatasetRef | ModelRef) => (ref.kind === 'model' ? store.model(ref) : store.dataset(ref));
  const all = await Promise.all(inputs.map(async (ref) => (await manifest(ref)).determinism));
  return [own, ...all].reduce((a, b) => (order.indexOf(a) >= order.indexOf(b) ? a : b));
}

/** A map that has ended. */
export interface Mapped extends MapStart {
  /** Number of batches that hold its records. */
  readonly batches: number;
  readonly until: number | null;
  /** A budget was spent, so some records were not tried. */
  readonly cut: boolean;
  readonly determinism: Determinism;
  /** When the subprocess ran, before the batches. */
  readonly subprocessSpans?: readonly Span[];
}

/** Commits every prefix of the chain. If you change the last operator, the results of the others are reused. */
export async function commitMap(store: Store, resolved: Resolved, mapped: Mapped): Promise<Output> {
  const { skip, until, cut } = mapped;
  const last = resolved.chain.length - 1;
  const { quorum = 1 } = resolved.call.inputs as { quorum?: number };
  const whole = until === null && !cut && quorum === 1; // otherwise only the whole chain has a result that later steps may reuse
  await triggerPoint('commit: before the first prefix');
  const started = await beforeStart(store, resolved, mapped);
  let output = started;
  for (let op = whole ? skip : last; op <= last; op++) {
    const since = whole ? op : skip;
    output = await commitPrefix(store, resolved, { ...mapped, started, before: output, since, op, check: since === skip });
    if (op < last) await triggerPoint('commit: after a prefix');
  }
  await triggerPoint('commit: before its work is cleared');
  if (!cut) await store.clearWork(resolved.stepKey); // a larger budget continues from there
  return output!;
}

interface Prefix extends Mapped, Pick<Joining, 'started' | 'check'> {
  /** Index of the prefix's last operator. */
  readonly op: number;
  /** First operator whose drops are not in `before`. `before` is the output of the previous prefix. */
  readonly since: number;
  readonly before: Output | undefined;
}

/**
 * Commits the output of the operators up to `op`. A source record counts as kept if at least one of its outputs was kept; otherwise as
 * dropped, with the last drop reason. `parts` counts all other records that were dropped on the way. Drops of `before` come first, so
 * neither order nor counts depend on where the map started.
 */
async function commitPrefix(store: Store, resolved: Resolved, prefix: Prefix): Promise<Output> {
  const { over, op, since, until, cut, before, subprocessSpans, skip } = prefix;
  const writer = store.write(RECORDS);
  const drops = new DropCounter(store, Object.keys(resolved.cast).length > 0);
  const counts = { in: 0, kept: 0, requests: 0, tokens: 0, attempts: 0 };
  let uses: TokenUses = {};
  const spans: Span[] = [...(subprocessSpans ?? [])];
  const onBatch = (totals: BatchTotals) => {
    counts.requests += totals.requests;
    counts.tokens += totals.tokens;
    uses = addUses(uses, totals.uses);
    counts.attempts += totals.attempts;
    spans.push(...totals.spans);
  };
  let rows = 0;
  let lastThrown = '';
  try {
    if (before) await drops.startWith(before);
    for await (const source of joinBatches(store, resolved, { ...prefix, partial: cut || until !== null, onBatch })) {
      if (until !== null && rows >= until) break;
      if (since > skip && source.every((entry) => entry.kept[since - 1]!.length === 0)) continue; // an earlier prefix has dropped it
      counts.in++;
      const rowsBefore = rows;
      for (const entry of source) {
        for (const record of entry.kept[op]!) await writer.add(record);
        rows += entry.kept[op]!.length;
      }
      if (rows > rowsBefore) counts.kept++;
      const dropped = source.flatMap((entry) => entry.dropped.filter((drop) => drop.op >= since && drop.op <= op));
      const last = dropped.at(-1);
      if (last?.reason === THREW) lastThrown = last.evidence!;
      if (last) await drops.addSource(dropped, rows > rowsBefore);
    }
    checkConservation(resolved, before === undefined || cut || counts.in === before.kept);
    counts.in += before ? before.in - before.kept : 0;
    checkConservation(resolved, counts.in === counts.kept + drops.count);
    if (drops.count > 0 && drops.counts[THREW] === counts.in) await throwOperatorError(store, resolved, drops.count, lastThrown);
    const determinism = await weakestDeterminism(store, prefix.determinism, [over, ...Object.values(resolved.cast)]);
    const result = { ...(await writer.commit(determinism)), ...(counts.in > 0 ? { share: counts.kept / counts.in } : {}) };
    const { stepKey, operation, versions, sources } = resolved.chain[op]!;
    const step = { ...resolved, stepKey: cut ? cutKey(resolved) : stepKey, versions, sources, call: { ...resolved.call, operation } };
    const dropped = { dropped: drops.counts, ...(Object.keys(drops.parts).length > 0 && { parts: drops.parts }), ...drops.unread };
    const droppedRecords = await drops.commit(determinism);
    await triggerPoint('commit: before an output');
    return await store.putOutput(
      outputOf(step, result, { ...counts, ...dropped, ...usesOf(resolved, uses), seconds: secondsOf(spans) }, droppedRecords, determinism),
    );
  } catch (error) {
    await writer.abort();
    await drops.abort();
    throw error;
  }
}

/** If an operator throws on every record, the operator is at fault. Clears the step's work so that it starts anew once you have fixed the
 *  operator. */
async function throwOperatorError(store: Store, { stepKey, call }: Resolved, records: number, evidence: string): Promise<never> {
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

/** Counts the dropped records of a step and stores them. */
export class DropCounter {
  /** Source records with no output left, by reason. */
  readonly counts: Record<string, number> = {};
  /** Other dropped records, by reason. */
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
  /** Number of source records with no output left. */
  get count(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }
  async add(id: string, reason: string, evidence: string | null, value: unknown): Promise<void> {
    count(this.counts, reason);
    await this.#write({ id, reason, evidence, value });
  }
  /** Adds the dropped records of one source. If the source has no output left, the last drop gives its reason. */
  async addSource(dropped: Done['dropped'], kept: boolean): Promise<void> {
    const inOrder = dropped.toSorted((a, b) => a.op - b.op);
    for (const [i, { id, reason, evidence, value }] of inOrder.entries()) {
      count(!kept && i === dropped.length - 1 ? this.counts : this.parts, reason);
      await this.#write({ id, reason, evidence, value });
    }
  }
  /** Starts with the drops of an earlier output. */
  async startWith({ dropped, parts, droppedRecords }: Output): Promise<void> {
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
