/** Compares two experiments: configuration, the first step that differs and why, metrics, and records that only one of them kept. */
import { isRef } from '../schemas/call.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { besideOf, type Beside } from './beside.ts';
import { differences } from './difference.ts';
import { metricCells } from './intervals.ts';
import { tablesOf } from './tables/steps.ts';
import { viewOf } from './view.ts';

export interface Comparison {
  readonly a: string;
  readonly b: string;
  /** `parameters.rounds: 2 -> 3`. */
  readonly configuration: readonly string[];
  /** The first step of both whose key differs; null if none does. */
  readonly parting: Parting | null;
  /** Steps of both, and how many of them have one result. */
  readonly steps: { readonly both: number; readonly shared: number; readonly onlyA: readonly string[]; readonly onlyB: readonly string[] };
  readonly metrics: readonly MetricDifference[];
  /** Steps of both with records whose results differ. */
  readonly records: readonly { readonly path: string; readonly beside: Beside }[];
}
export interface Parting {
  readonly path: string;
  /** What is in the key of one and not of the other: `params.threshold: 4 -> 5`. */
  readonly why: readonly string[];
}
export interface MetricDifference {
  readonly metric: string;
  readonly arm: string | null;
  readonly round: number;
  readonly a: number | null;
  readonly b: number | null;
}

/** Records shown of each side. */
const SHOWN = 10;

export async function comparisonOf(store: Store, a: ExperimentRecord, b: ExperimentRecord): Promise<Comparison> {
  const pairs = a.steps.flatMap((step) => {
    const other = b.steps.find(({ path }) => path === step.path);
    return other ? [[step, other] as const] : [];
  });
  const paths = new Set(pairs.map(([{ path }]) => path));
  const only = ({ steps }: ExperimentRecord) => steps.map(({ path }) => path).filter((path) => !paths.has(path));
  const { name: _, ...configA } = a.config as { name: string };
  const { name: __, ...configB } = b.config as { name: string };
  return {
    a: a.name,
    b: b.name,
    configuration: differences(configA, configB),
    parting: await partingOf(store, pairs),
    steps: {
      both: pairs.length,
      shared: pairs.filter(([one, other]) => one.stepKey !== null && one.stepKey === other.stepKey).length,
      onlyA: only(a),
      onlyB: only(b),
    },
    metrics: await metricsOf(store, a, b),
    records: await recordsOf(store, pairs),
  };
}

type Pair = readonly [Step, Step];

/** Steps begin in an order that depends on the machine; only steps whose own inputs are equal part of themselves. */
async function partingOf(store: Store, pairs: readonly Pair[]): Promise<Parting | null> {
  const differing = pairs.filter(([one, other]) => one.stepKey !== null && other.stepKey !== null && one.stepKey !== other.stepKey);
  let first: Parting | null = null;
  for (const [one, other] of differing) {
    const [before, after] = [await store.output(one.stepKey!), await store.output(other.stepKey!)];
    if (!before || !after) continue;
    const why = differences(keyed(before, one), keyed(after, other));
    const parting = { path: one.path, why: why.length > 0 ? why : ['the seed, the round, the engine, or files outside the store'] };
    if (why.every((line) => !line.startsWith('inputs'))) return parting;
    first ??= parting;
  }
  return first;
}

/** What an output tells of its key. */
const keyed = ({ params, inputs, versions, sources }: Output, { operation }: Step) => ({ operation, params, inputs, versions, sources });

async function metricsOf(store: Store, a: ExperimentRecord, b: ExperimentRecord): Promise<MetricDifference[]> {
  const [one, other] = [metricCells(await viewOf(store, a)), metricCells(await viewOf(store, b))];
  const named = ({ metric, arm, round }: (typeof one)[number]) => JSON.stringify([metric, arm, round]);
  const values = (cells: typeof one) => new Map(cells.map((cell) => [named(cell), cell.value]));
  const [ofA, ofB] = [values(one), values(other)];
  const all = [...new Map([...one, ...other].map((cell) => [named(cell), cell])).entries()];
  return all.map(([key, { metric, arm, round }]) => ({ metric, arm, round, a: ofA.get(key) ?? null, b: ofB.get(key) ?? null }));
}

async function recordsOf(store: Store, pairs: readonly Pair[]): Promise<Comparison['records']> {
  const records: { path: string; beside: Beside }[] = [];
  for (const [one, other] of pairs) {
    if (!one.result || !other.result || !isRef(one.result) || !isRef(other.result)) continue;
    if (one.result.digest === other.result.digest || one.result.kind !== 'dataset' || other.result.kind !== 'dataset') continue;
    const [before, after] = [await tableNamed(store, one), await tableNamed(store, other)];
    if (before && after) records.push({ path: one.path, beside: await besideOf(store, before, after, SHOWN) });
  }
  return records;
}

async function tableNamed(store: Store, step: Step) {
  const output = await store.output(step.stepKey!);
  const table = output && tablesOf(step, output).find(({ layout }) => layout === 'records');
  return table && (await store.has(table.ref)) ? { path: step.path, table } : undefined;
}
