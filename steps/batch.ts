/** One batch of a map: every record flows through the chain by itself, the limiter decides how many are in flight. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Rejected, TooLong } from '../inference/client.ts';
import type { Flow } from '../inference/flow.ts';
import { isRef, type DatasetRef } from '../schemas/call.ts';
import { drop, type Context, type Outcome, type Rec, type Schema } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import { recordId } from '../schemas/canonical.ts';
import { writeAtomic } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { turns } from '../store/turns.ts';
import { LimitWatcher } from './limit-watcher.ts';
import type { MapLimits, BatchTotals, MapStart } from '../schemas/steps.ts';
import { Journal, type Done, type Earlier } from './journal.ts';
import { contextOf, type BatchResources, GivenUp, failedCalls, type RecordJournal } from './model-calls.ts';
import { triggerPoint } from './trigger-points.ts';
import type { Link, Resolved } from './resolved.ts';
import { beginSpan } from './spans.ts';

/** Holds the batches of a step, a folder for each of its starts. */
export const batchesFolder = (store: Pick<Store, 'work'>, stepKey: string) => join(store.work(stepKey), 'batches');
export const startName = ({ over, skip, build }: MapStart) =>
  [skip, over.digest.slice(0, 16), build.slice(0, 8)].filter((part) => part !== '').join('-');
export const batchPath = (store: Store, stepKey: string, start: MapStart, batch: number, kind: 'journal' | 'result') =>
  join(batchesFolder(store, stepKey), startName(start), `${String(batch).padStart(5, '0')}.${kind === 'journal' ? 'jsonl' : 'json'}`);

/** Records in order, as far as they were tried. */
export interface BatchResult {
  /** Digest. */
  readonly over: string;
  readonly skip: number;
  /** Row of `over` that its first record is. */
  readonly from: number;
  readonly totals: BatchTotals;
  readonly done: readonly (Done & { readonly id: string })[];
}

/** What a batch gave; undefined where it has not ended, its file is not whole or is of other records: then it is run again, from its journal. */
export async function batchResult(store: Store, stepKey: string, start: MapStart, batch: number): Promise<BatchResult | undefined> {
  try {
    const result = JSON.parse(await readFile(batchPath(store, stepKey, start, batch, 'result'), 'utf8')) as Partial<BatchResult>;
    const own = result.over === start.over.digest && result.skip === start.skip;
    return own && result.totals?.spans && result.done ? (result as BatchResult) : undefined;
  } catch {
    return undefined;
  }
}

export interface BatchWork extends MapStart, BatchResources {
  readonly store: Store;
  readonly resolved: Resolved;
  /** Those of `resolved`, loaded. */
  readonly params: object;
  readonly batch: number;
  readonly from: number;
  readonly to: number;
  /** What ends the step before its last record; null: nothing. */
  readonly limits: MapLimits | null;
  /** Of the step's records, whatever their batch. */
  readonly flow: Flow;
  /** By its limits, what ends the step of this lease. */
  readonly bounds: Map<string, LimitWatcher>;
  /** Replies that the step was given under other starts. */
  readonly earlier?: Earlier;
  /** Called once no record of this batch waits any more. */
  readonly underWay: () => void;
}

/** Runs a batch to its end or to that of its step, going on where an earlier attempt stopped. A finished batch is not run again. */
export async function runBatch(work: BatchWork): Promise<BatchTotals> {
  const { store, resolved, batch, limits, from, to, over, skip } = work;
  const resultPath = batchPath(store, resolved.stepKey, work, batch, 'result');
  const before = await batchResult(store, resolved.stepKey, work, batch);
  if (before?.from === from && before.totals.in === to - from) return before.totals;

  await triggerPoint('batch: before its journal is opened');
  const path = batchPath(store, resolved.stepKey, work, batch, 'journal');
  const endSpan = await beginSpan(`${path}.spans`, path);
  const journal = await Journal.open(path, work.earlier);
  using bounds = limits && (await LimitWatcher.of(work.bounds, store.work(resolved.stepKey), dirname(resultPath), limits));
  const signal = bounds ? AbortSignal.any([work.signal, bounds.signal]) : work.signal;
  try {
    const records: Rec<unknown>[] = [];
    const settled = new Map<string, Done>();
    const read = async () => {
      for await (const record of store.read(work.over, { from, to })) records.push(record);
      const open = new Map<string, Rec<unknown>>(); // equal ones are done once
      for (const record of records) {
        const known = journal.done(record.id);
        if (known) settled.set(record.id, known);
        else open.set(record.id, record);
      }
      return [...open.values()];
    };
    const turn = turns();
    const settle = async (record: Rec<unknown>) => {
      const others = turn();
      if (others) await others;
      const made = { attempts: 0 };
      const result = await throughChain(record, { ...work, signal, journal, made });
      journal.finish(record.id, result, made.attempts);
      settled.set(record.id, result);
      const held = triggerPoint('record: after it is done');
      if (held) await held;
    };
    try {
      await work.flow.each(read, signal, settle, work.underWay);
    } catch (error) {
      if (bounds?.reached === undefined || work.signal.aborted) throw error;
      if (records.length === 0) await read(); // its turn had not come
    }
    const left = (record: Rec<unknown>) => (bounds?.reached === 'quorum' ? straggler(record, work) : undefined);
    const done = records.flatMap((record) => {
      const result = settled.get(record.id) ?? left(record);
      return result ? [{ id: record.id, ...result }] : [];
    });
    const totals: BatchTotals = {
      batch,
      in: done.length,
      kept: done.reduce((sum, one) => sum + one.kept.at(-1)!.length, 0),
      requests: journal.requests,
      tokens: journal.tokens,
      attempts: journal.attempts,
      spans: await endSpan(),
      spent: done.length === records.length ? null : (bounds!.reached as BatchTotals['spent']),
    };
    await triggerPoint('batch: before its result');
    await writeAtomic(resultPath, JSON.stringify({ over: over.digest, skip, from, totals, done } satisfies BatchResult));
    await triggerPoint('batch: after its result');
    return totals;
  } catch (error) {
    await endSpan().catch(() => {}); // a full disk, say, of which the error tells
    throw error;
  } finally {
    await journal.close();
  }
}

/** A record that the quorum does not wait for. */
const straggler = ({ id, value }: Rec<unknown>, { resolved, skip }: BatchWork): Done => ({
  kept: resolved.chain.map(() => []),
  dropped: [{ op: skip, id, reason: 'straggler', evidence: null, value }],
});

/** A record, and what became of it, operator after operator. Operators are counted from the first of the chain, wherever it begins. */
async function throughChain(source: Rec<unknown>, work: BatchWork & RecordJournal): Promise<Done> {
  const kept: Rec<unknown>[][] = Array.from({ length: work.skip }, () => []);
  const dropped: Done['dropped'][number][] = [];
  let current: readonly Rec<unknown>[] = [source];
  for (const [op, link] of work.resolved.chain.entries()) {
    if (op < work.skip) continue;
    const next: Rec<unknown>[] = [];
    for (const record of current) {
      const outcome = await outcomeOf(link, record, contextOf(record, op, link, work), work);
      if ('dropped' in outcome)
        dropped.push({ op, id: record.id, reason: outcome.dropped, evidence: outcome.evidence ?? null, value: record.value });
      else next.push(...outcome.kept);
    }
    kept.push(next);
    current = next;
  }
  return { kept, dropped };
}

/** What an operator makes of a record. What concerns this record alone drops it and stops no other: a schema that refuses it, a server
 *  that refuses it, code that throws on it. Throws what concerns the step. */
async function outcomeOf(
  link: Link,
  record: Rec<unknown>,
  context: Context<string>,
  { params, signal }: Pick<BatchWork, 'params' | 'signal'>,
): Promise<Outcome<Rec<unknown>>> {
  const { what, operator } = link;
  const id = what.split('>').at(-1)!;
  const input = fit(operator.input, record.value);
  if ('fault' in input) return drop('invalid', `${id} cannot read it: ${input.fault}`);
  try {
    const outcome = await operator.run(input.value, context, ownOf(link, params));
    if ('dropped' in outcome) return outcome;
    if (outcome.kept.length === 0) throw new Error('it kept no record and dropped none: use drop(reason)');
    const most = operator.maxRows(link.params);
    if (outcome.kept.length > most)
      throw new Error(`it kept ${outcome.kept.length} records of one, and its \`maxRows\` gives ${most} as the most`);
    const kept: Rec<unknown>[] = [];
    for (const [ordinal, raw] of outcome.kept.entries()) {
      const output = fit(operator.output, raw);
      if ('fault' in output) return drop('invalid', `${id} gave what its own schema refuses: ${output.fault}`);
      kept.push({ id: recordId(output.value, [record.id], ordinal), from: [record.id], value: output.value });
    }
    return { kept };
  } catch (error) {
    if (error instanceof Rejected) return drop('rejected', `${error.status}: ${error.message}`);
    if (error instanceof TooLong) return drop('too-long', error.message);
    if (error instanceof GivenUp) return drop(error.reason, error.message);
    if (failedCalls.has(error as Error) || signal.aborted) throw error;
    if (error instanceof BackspinError && error.type === 'SchemaError')
      return drop('invalid', `${id} gave what nothing can store: ${error.message}`);
    if (error instanceof BackspinError) throw error;
    return drop(THREW, `${id} threw ${String(error)}`);
  }
}

/** Why a record is dropped that an operator's own code throws on. */
export const THREW = 'error';
/** The value as the schema makes it, or what of it the schema refuses. */
export function fit(schema: Schema<unknown>, value: unknown): { readonly value: unknown } | { readonly fault: string } {
  try {
    return { value: schema.parse(value) };
  } catch (error) {
    return { fault: faultOf(error, value).replace(/\.$/, '') };
  }
}

/** The parameters of one operator, with the datasets among them loaded. */
const ownOf = ({ params }: Link, loaded: object): object =>
  Object.fromEntries(Object.entries(params).map(([key, value]) => [key, isRef(value) ? (loaded as Record<string, unknown>)[key] : value]));

/** Datasets given as parameters are loaded beside the operator. */
export async function loaded(params: object, store: Store): Promise<object> {
  const entries = await Promise.all(
    Object.entries(params).map(
      async ([name, value]) => [name, isRef(value) && value.kind === 'dataset' ? await values(value, store) : value] as const,
    ),
  );
  return Object.fromEntries(entries);
}
async function values(ref: DatasetRef, store: Store): Promise<unknown[]> {
  const rows = [];
  for await (const record of store.read(ref)) rows.push(record.value);
  return rows;
}
