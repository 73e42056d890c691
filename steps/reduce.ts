/** Steps that one data worker does by itself: reducers, sources, models brought in, numbers of a dataset. */
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRef, refsIn, type StepCall, type DatasetRef, type ReportRef, type Result } from '../schemas/call.ts';
import type { Emitted, Rows } from '../recipe/define.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { Placed } from '../schemas/trainer.ts';
import { canonicalJson, recordId } from '../schemas/canonical.ts';
import type { DatasetWriter, Store } from '../store/store.ts';
import { Drops, inherited, outputOf, RECORDS, type Counts } from './commit.ts';
import { importedFiles } from './input-files.ts';
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
  /** Of a reducer that embeds: what its child said, and when it was at it. */
  readonly places?: AsyncIterable<Placed>;
  readonly child?: readonly Span[];
}
async function* nowhere(): AsyncIterable<Placed> {}

export async function reduceStep(work: Work): Promise<Output> {
  const { call } = work.resolved;
  const began = Date.now();
  const { result, counts, dropped, origins } = call.operation.startsWith('source:')
    ? await readSource(work)
    : call.operation.startsWith('model:')
      ? await importModel(work)
      : await runReducer(work);
  const determinism = await inherited(work.store, work.resolved.determinism, bytesIn(call));
  const seconds = secondsOf([...(work.child ?? []), { began, ended: Date.now() }]);
  const output = outputOf(work.resolved, result, { ...counts, requests: 0, tokens: 0, seconds }, dropped, determinism);
  return work.store.putOutput({ ...output, ...(origins && { origins }) });
}

interface Made {
  readonly result: Result;
  readonly counts: Pick<Counts, 'in' | 'kept' | 'dropped'>;
  readonly dropped: DatasetRef | null;
  readonly origins?: DatasetRef;
}

const bytesIn = (call: StepCall) => refsIn(call.inputs).filter((ref) => ref.kind !== 'report');
const datasetsIn = (call: StepCall) => refsIn(call.inputs).filter((ref) => ref.kind === 'dataset');

async function runReducer(work: Work): Promise<Made> {
  const { store, registry, resolved, seed, signal, places = nowhere() } = work;
  const reducer = registry.reducer(resolved.call.operation) as AnyReducer;
  const determinism = await inherited(store, resolved.determinism, bytesIn(resolved.call));
  const params = await parameters(resolved.params, store);
  const emitted = reducer.run(reading(resolved.call.inputs['inputs'], store), params, {
    random(name) {
      if (reducer.stochastic(resolved.params)) return stream(`${seed}/${resolved.stepKey}/${name}`);
      throw new BackspinError(
        'ConfigError',
        `${resolved.call.operation} uses \`random\` and does not say so: add \`stochastic: () => true\` to the reducer.`,
      );
    },
    derive: (value, from) => ({
      id: recordId(
        value,
        from.map((record) => record.id),
      ),
      from: from.map((record) => record.id),
      value,
    }),
    places,
    signal,
  });
  if (reducer.outputs === 'report') {
    const metrics = await (emitted as Promise<Readonly<Record<string, number>>>);
    return { result: reportRef(resolved, metrics, false), counts: { in: 0, kept: 0, dropped: {} }, dropped: null };
  }
  const writers = new Map<string, DatasetWriter>((reducer.outputs ?? ['']).map((name) => [name, store.write(RECORDS)]));
  const drops = new Drops(store);
  let kept = 0;
  try {
    for await (const one of emitted as AsyncIterable<Emitted>) {
      signal.throwIfAborted();
      if ('dropped' in one) await drops.add(one.record.id, one.dropped, one.evidence ?? null, one.record.value);
      else {
        kept++;
        await writers.get(one.output ?? '')!.add(one.record);
      }
    }
    const entering = datasetsIn({ ...resolved.call, inputs: { inputs: resolved.call.inputs['inputs'] } }).reduce(
      (sum, ref) => sum + ref.rows,
      0,
    );
    const leaving = kept + Object.values(drops.counts).reduce((sum, n) => sum + n, 0);
    if (!reducer.skipsConservation && entering !== leaving) {
      throw new BackspinError(
        'ConservationViolated',
        `Step ${resolved.call.path}: ${entering} records entered ${resolved.call.operation} and ${leaving} left as kept or dropped; nothing was committed.`,
      );
    }
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
/** Datasets inside the inputs are read as rows, wherever they stand. */
function reading(value: unknown, store: Store): unknown {
  if (isRef(value)) return value.kind === 'dataset' ? rowsOf(value, store) : value.kind === 'report' ? value.metrics : value;
  if (Array.isArray(value)) return value.map((inner) => reading(inner, store));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, reading(inner, store)]));
}
/** A dataset as a parameter stands for its size (`take: { as }`). */
async function parameters(params: object, store: Store): Promise<object> {
  return Object.fromEntries(Object.entries(params).map(([key, value]) => [key, reading(value, store)]));
}

async function readSource(work: Work): Promise<Made> {
  const { store, registry, resolved, signal } = work;
  const writer = store.write(RECORDS);
  const drops = new Drops(store);
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

/** Of a model that nothing here has trained. */
export const importedDefaults = {
  base: null,
  from: null,
  dataset: null,
  template: null,
  settings: null,
  steps: null,
  lastLearningRate: null,
} as const;

/** Brings a model folder into the store; or, for `init`, its architecture and tokenizer, whose weights the first training makes. */
async function importModel({ store, resolved }: Work): Promise<Made> {
  const about = { ...importedDefaults, determinism: 'exact' } as const;
  const counts = { in: 0, kept: 0, dropped: {} };
  const { path, architecture, seed } = resolved.call.inputs as { path?: string; architecture?: object; seed?: number };
  const files = await importedFiles(resolved.call);
  if (path !== undefined) {
    const result = await store.putModel(path, { ...about, state: 'weights' }, files);
    const taken = (await store.model(result)).files.map(({ name, sha256 }) => [name, sha256] as const);
    if (canonicalJson(Object.fromEntries(taken)) === canonicalJson(resolved.files)) return { result, counts, dropped: null };
    throw new BackspinError('ConfigError', `The files of ${path} changed while they were read: retry the step once they stay as they are.`);
  }
  const made = join(store.work(resolved.stepKey), 'init');
  await rm(made, { recursive: true, force: true });
  await mkdir(made, { recursive: true });
  await writeFile(join(made, 'init.json'), canonicalJson({ architecture, seed }));
  const result = await store.putModel(made, { ...about, state: 'init' }, files);
  await store.clearWork(resolved.stepKey);
  return { result, counts, dropped: null };
}

export function reportRef(resolved: Resolved, metrics: Readonly<Record<string, number>>, oracle: boolean): ReportRef {
  for (const [name, value] of Object.entries(metrics)) {
    if (!Number.isFinite(value))
      throw new BackspinError('SchemaError', `${resolved.call.operation} gave ${name} = ${value}: a report holds finite numbers.`);
  }
  const digest = createHash('sha256')
    .update(canonicalJson({ what: resolved.call.operation, metrics }))
    .digest('hex');
  return { kind: 'report', digest, metrics, oracle };
}
