/** Performs steps that need only a data worker: reducers, sources and imports of models. */
import { isRef, refsIn, type StepCall, type DatasetRef, type ReportRef, type Result } from '../schemas/call.ts';
import type { Emitted, Rows } from '../recipe/define.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { EmbeddedRow } from '../schemas/trainer.ts';
import { canonicalJson, recordId, sha256 } from '../schemas/canonical.ts';
import type { DatasetWriter, Store } from '../store/store.ts';
import { rowsIn } from './call-inputs.ts';
import { DropCounter, weakestDeterminism, outputOf, RECORDS, type Counts } from './commit.ts';
import { importModel } from './import-model.ts';
import type { AnyReducer, Resolved } from './resolved.ts';
import { stream } from './model-calls.ts';
import { secondsOf } from './spans.ts';
import type { Span } from '../schemas/steps.ts';
import { ORIGINS } from './origins.ts';
import { recordsOf } from './source.ts';

interface Work {
  readonly store: Store;
  readonly registry: Registry;
  readonly resolved: Resolved;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Of a reducer that embeds: the output of its subprocess, and when it ran. */
  readonly places?: AsyncIterable<EmbeddedRow>;
  readonly subprocessSpans?: readonly Span[];
}
async function* nowhere(): AsyncIterable<EmbeddedRow> {}

export async function reduceStep(work: Work): Promise<Output> {
  const { call } = work.resolved;
  const began = Date.now();
  const { result, counts, dropped, origins } = call.operation.startsWith('source:')
    ? await readSource(work)
    : call.operation.startsWith('model:')
      ? { result: await importModel(work.store, work.resolved), counts: NO_RECORDS, dropped: null }
      : await runReducer(work);
  const determinism = await weakestDeterminism(work.store, work.resolved.determinism, storedInputs(call));
  const seconds = secondsOf([...(work.subprocessSpans ?? []), { began, ended: Date.now() }]);
  const output = outputOf(work.resolved, result, { ...counts, requests: 0, tokens: 0, seconds }, dropped, determinism);
  return work.store.putOutput({ ...output, ...(origins && { origins }) });
}

interface Made {
  readonly result: Result;
  readonly counts: Pick<Counts, 'in' | 'kept' | 'dropped'>;
  readonly dropped: DatasetRef | null;
  readonly origins?: DatasetRef;
}

const NO_RECORDS = { in: 0, kept: 0, dropped: {} } as const;

const storedInputs = (call: StepCall) => refsIn(call.inputs).filter((ref) => ref.kind !== 'report');

async function runReducer(work: Work): Promise<Made> {
  const { store, registry, resolved, seed, signal, places = nowhere() } = work;
  const { call, params, stepKey } = resolved;
  const reducer = registry.reducer(call.operation) as AnyReducer;
  const emitted = reducer.run(withRows(call.inputs['inputs'], store), withRows(params, store) as object, {
    random(name) {
      if (reducer.stochastic(params)) return stream(`${seed}/${stepKey}/${name}`);
      throw new BackspinError(
        'ConfigError',
        `${call.operation} uses \`random\` and does not say so: add \`stochastic: () => true\` to the reducer.`,
      );
    },
    derive(value, records) {
      const from = records.map((record) => record.id);
      return { id: recordId(value, from), from, value };
    },
    places,
    signal,
  });
  if (reducer.outputs !== 'report') return writeRecords(work, reducer, emitted as AsyncIterable<Emitted>);
  const metrics = await (emitted as Promise<Readonly<Record<string, number>>>);
  return { result: reportRef(resolved, metrics, false), counts: NO_RECORDS, dropped: null };
}

/** Writes a reducer's records to its datasets. Throws `ConservationViolated` if records were lost or added. */
async function writeRecords({ store, resolved, signal }: Work, reducer: AnyReducer, emitted: AsyncIterable<Emitted>): Promise<Made> {
  const { call } = resolved;
  const determinism = await weakestDeterminism(store, resolved.determinism, storedInputs(call));
  const names = reducer.outputs === 'report' ? [] : (reducer.outputs ?? ['']);
  const writers = new Map<string, DatasetWriter>(names.map((name) => [name, store.write(RECORDS)]));
  const drops = new DropCounter(store);
  let kept = 0;
  try {
    for await (const one of emitted) {
      signal.throwIfAborted();
      if ('dropped' in one) await drops.add(one.record.id, one.dropped, one.evidence ?? null, one.record.value);
      else {
        kept++;
        await writers.get(one.output ?? '')!.add(one.record);
      }
    }
    const entering = rowsIn(call.inputs['inputs']);
    const leaving = kept + drops.count;
    if (!reducer.skipsConservation && entering !== leaving)
      throw new BackspinError(
        'ConservationViolated',
        `Step ${call.path}: ${entering} records entered ${call.operation} and ${leaving} left as kept or dropped; nothing was committed.`,
      );
    const refs = new Map<string, DatasetRef>();
    for (const [name, writer] of writers) refs.set(name, await writer.commit(determinism));
    const result = reducer.outputs === null ? refs.get('')! : Object.fromEntries(refs);
    return { result, counts: { in: entering, kept, dropped: drops.counts }, dropped: await drops.commit(determinism) };
  } catch (error) {
    for (const writer of writers.values()) await writer.abort();
    await drops.abort();
    throw error;
  }
}

export function rowsOf(ref: DatasetRef, store: Store): Rows<unknown> {
  return { rows: ref.rows, [Symbol.asyncIterator]: () => store.read(ref)[Symbol.asyncIterator]() };
}
/** Replaces datasets by their rows and reports by their metrics, at any depth. */
function withRows(value: unknown, store: Store): unknown {
  if (isRef(value)) return value.kind === 'dataset' ? rowsOf(value, store) : value.kind === 'report' ? value.metrics : value;
  if (Array.isArray(value)) return value.map((inner) => withRows(inner, store));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withRows(inner, store)]));
}

async function readSource(work: Work): Promise<Made> {
  const { store, registry, resolved, signal } = work;
  const writer = store.write(RECORDS);
  const drops = new DropCounter(store);
  let places: DatasetWriter | undefined;
  let kept = 0;
  try {
    for await (const one of recordsOf(resolved.call, registry, resolved.params)) {
      signal.throwIfAborted();
      if ('dropped' in one) await drops.add(one.record.id, one.dropped, one.evidence ?? null, one.record.value);
      else {
        kept++;
        await writer.add(one.record);
        if (one.where !== undefined) await (places ??= store.write(ORIGINS)).add({ id: one.record.id, from: [], value: one.where });
      }
    }
    const result = await writer.commit('exact');
    const origins = places && (await places.commit('exact'));
    const counts = { in: kept + drops.count, kept, dropped: drops.counts };
    return { result, counts, dropped: await drops.commit('exact'), ...(origins && { origins }) };
  } catch (error) {
    await writer.abort();
    await drops.abort();
    throw error;
  }
}

export function reportRef(resolved: Resolved, metrics: Readonly<Record<string, number>>, oracle: boolean): ReportRef {
  for (const [name, value] of Object.entries(metrics)) {
    if (!Number.isFinite(value))
      throw new BackspinError('SchemaError', `${resolved.call.operation} gave ${name} = ${value}: a report holds finite numbers.`);
  }
  const digest = sha256(canonicalJson({ what: resolved.call.operation, metrics }));
  return { kind: 'report', digest, metrics, oracle };
}
