/** Runs one batch of a map. Every record goes through the chain independently; the limiter bounds the requests in flight. */
import type { RecordScheduler } from '../inference/flow.ts';
import type { Rec } from '../recipe/define.ts';
import type { Metrics } from '../schemas/metrics.ts';
import type { MapLimits, BatchTotals, MapStart } from '../schemas/steps.ts';
import type { Store } from '../store/store.ts';
import { turns } from '../store/turns.ts';
import { batchPath, batchResult, putBatchResult, startFolder, type BatchResult } from './batch-files.ts';
import { throughChain } from './chain.ts';
import { Journal, type Done, type EarlierReplies } from './journal.ts';
import { LimitWatcher } from './limit-watcher.ts';
import type { BatchResources } from './model-calls.ts';
import type { Resolved } from './resolved.ts';
import { beginSpan } from './spans.ts';
import { triggerPoint } from './trigger-points.ts';

export interface BatchWork extends MapStart, BatchResources {
  readonly store: Store;
  readonly metrics: Metrics;
  readonly resolved: Resolved;
  /** The parameters of `resolved` with their datasets loaded. */
  readonly params: object;
  readonly batch: number;
  readonly from: number;
  readonly to: number;
  /** Limits that can end the step before its last record. */
  readonly limits: MapLimits | null;
  /** Shared by all batches of the step in this lease. */
  readonly scheduler: RecordScheduler;
  /** Shared by all batches of the step in this lease, keyed by their limits. */
  readonly watchers: Map<string, LimitWatcher>;
  /** Replies from earlier starts of the step, which began at another operator. */
  readonly earlier?: EarlierReplies;
  /** Called once all records of the batch are in flight. */
  readonly onAllStarted: () => void;
}

/** Runs a batch to its last record, or until the step reaches a limit. Resumes from the journal of an earlier attempt. If the batch has
 *  finished before, returns its totals. */
export async function runBatch(work: BatchWork): Promise<BatchTotals> {
  const { store, resolved, batch, limits, from, to, over, skip } = work;
  await store.shared?.pullFile(batchPath(store, resolved.stepKey, work, batch, 'result'));
  const before = await batchResult(store, resolved.stepKey, work, batch);
  if (before?.from === from && before.totals.in === to - from) return before.totals;

  await triggerPoint('batch: before its journal is opened');
  const path = batchPath(store, resolved.stepKey, work, batch, 'journal');
  await store.shared?.pull(path, { mine: true });
  const endSpan = await beginSpan(`${path}.spans`, path);
  const journal = await Journal.open(path, work.earlier);
  const folder = startFolder(store, resolved.stepKey, work);
  using sharing = store.shared?.followJournal(path);
  using watcher =
    limits && (await LimitWatcher.of(work.watchers, { work: store.work(resolved.stepKey), batches: folder, shared: store.shared }, limits));
  try {
    const { records, settled } = await runRecords(work, journal, watcher);
    const stragglerOf = (record: Rec<unknown>) => (watcher?.reached === 'quorum' ? straggler(record, work) : undefined);
    const done = records.flatMap((record) => {
      const result = settled.get(record.id) ?? stragglerOf(record);
      return result ? [{ id: record.id, ...result }] : [];
    });
    const totals: BatchTotals = {
      batch,
      in: done.length,
      kept: done.reduce((sum, one) => sum + one.kept.at(-1)!.length, 0),
      requests: journal.requests,
      uses: journal.uses,
      tokens: journal.tokens,
      attempts: journal.attempts,
      spans: await endSpan(),
      spent: done.length === records.length ? null : (watcher!.reached as BatchTotals['spent']),
    };
    await triggerPoint('batch: before its result');
    const result: BatchResult = { over: over.digest, skip, from, totals, done };
    await sharing?.push();
    const stands = await putBatchResult(store, resolved.stepKey, work, result);
    await triggerPoint('batch: after its result');
    const dropped = done.flatMap((one) => (one.kept.at(-1)!.length === 0 ? one.dropped.slice(-1).map(({ reason }) => reason) : []));
    work.metrics.batch(resolved.experiment, { kept: done.length - dropped.length, dropped });
    return stands.totals;
  } catch (error) {
    await endSpan().catch(() => {}); // on a full disk this fails too; report the first error
    throw error;
  } finally {
    await journal.close();
    await sharing?.push().catch(() => {}); // another host may go on with it
  }
}

/** Returns all records of the batch, and the results of those that finished before the step reached a limit. */
async function runRecords(work: BatchWork, journal: Journal, watcher: LimitWatcher | null) {
  const signal = watcher ? AbortSignal.any([work.signal, watcher.signal]) : work.signal;
  const records: Rec<unknown>[] = [];
  const settled = new Map<string, Done>();
  const read = async () => {
    for await (const record of work.store.read(work.over, { from: work.from, to: work.to })) records.push(record);
    const open = new Map<string, Rec<unknown>>(); // run equal records once
    for (const record of records) {
      const finished = journal.done(record.id);
      if (finished) settled.set(record.id, finished);
      else open.set(record.id, record);
    }
    return [...open.values()];
  };
  const turn = turns();
  const settle = async (record: Rec<unknown>) => {
    const yielded = turn();
    if (yielded) await yielded;
    const made = { attempts: 0 };
    const result = await throughChain(record, { ...work, signal, journal, made });
    await journal.finish(record.id, result, made.attempts);
    settled.set(record.id, result);
    const held = triggerPoint('record: after it is done');
    if (held) await held;
  };
  try {
    await work.scheduler.each(read, signal, settle, work.onAllStarted);
  } catch (error) {
    if (watcher?.reached === undefined || work.signal.aborted) throw error;
    if (records.length === 0) await read(); // the limit came before this batch loaded its records
  }
  return { records, settled };
}

/** The result of a record that the step leaves out because it has reached its quorum. */
const straggler = ({ id, value }: Rec<unknown>, { resolved, skip }: BatchWork): Done => ({
  kept: resolved.chain.map(() => []),
  dropped: [{ op: skip, id, reason: 'straggler', evidence: null, value }],
});
