/** Computes upper bounds for the cost and the output of a step before anything runs. */
import type { Settings } from '../recipe/api.ts';
import { refsIn, type StepCall, type DatasetRef } from '../schemas/call.ts';
import { drop, type Context, type Rec } from '../recipe/define.ts';
import type { Registry } from '../steps/registry.ts';
import { checkParams, operatorParams } from '../steps/definitions.ts';
import { budgetOf, itemsIn, rowsIn } from '../steps/call-inputs.ts';
import type { AnyOperator, Link } from '../steps/resolved.ts';
import { fit } from '../steps/chain.ts';
import { SAMPLE_SIZE, type Sample } from './misfits.ts';
import { recordsOf } from '../steps/source.ts';
import { lengthOf } from '../steps/train.ts';

/** The records of a stored dataset, or of a source that the plan reads; undefined if they do not exist yet. */
export type RecordsIn = (ref: DatasetRef) => AsyncIterable<Rec<unknown>> | undefined;
export async function* keptRecords(read: ReturnType<typeof recordsOf>): AsyncIterable<Rec<unknown>> {
  for await (const one of read) if (!('dropped' in one)) yield one.record;
}
/** The bound, or null if there is none. */
export const finite = (bound: number | null): number | null => (Number.isFinite(bound) ? bound : null);
/** The product of a number and a bound that may be infinite: 0 times infinity is 0. */
const multiply = (count: number, most: number): number => (count === 0 || most === 0 ? 0 : count * most);

export interface Estimate {
  /** Upper bounds; Infinity if there is none. */
  readonly in: number | null;
  readonly rows: number | null;
  readonly requests: number;
  readonly trainingSteps: number;
  /** Exact counts, for a source and for model-free operators on it. */
  readonly kept?: number;
  readonly dropped?: Readonly<Record<string, number>>;
  readonly sample?: readonly Sample[];
}

export async function estimateOf(call: StepCall, registry: Registry, known: boolean, recordsIn: RecordsIn): Promise<Estimate> {
  const entering = rowsIn(call.inputs);
  const nothing = { in: entering, rows: entering, requests: 0, trainingSteps: 0 };
  if (call.operation.startsWith('source:')) return known ? nothing : { ...nothing, ...(await countSource(call, registry)) };
  if (call.verb === 'map') return known ? nothing : { ...nothing, ...(await estimateMap(call, registry, recordsIn)) };
  if (call.verb === 'train') {
    const { data } = call.inputs as { data: DatasetRef };
    const steps = Number.isFinite(data.rows) ? lengthOf(call.inputs as unknown as Settings, data.rows).steps : Infinity;
    return { ...nothing, in: data.rows, trainingSteps: steps };
  }
  if (call.verb === 'evaluate') {
    const suite = registry.suite(call.operation);
    if (suite.is !== 'suite') return nothing;
    const params = checkParams(call, registry) as never;
    const items = itemsIn(call)?.rows ?? suite.items(params).length;
    return { ...nothing, in: items, requests: multiply(items, suite.ask.calls(params)) };
  }
  const { inputs } = call.inputs as { inputs?: unknown };
  const own = rowsIn(inputs);
  const most = call.operation.startsWith('model:')
    ? own
    : registry.reducer(call.operation).maxRows(own, checkParams(call, registry) as never);
  return { ...nothing, in: own, rows: most };
}

/** Bounds the requests of a map. If its input records exist, runs its model-free operators and counts the kept records. */
async function estimateMap(call: StepCall, registry: Registry, recordsIn: RecordsIn): Promise<Partial<Estimate>> {
  const { over } = call.inputs as { over: DatasetRef };
  const tried = Math.min(over.rows, budgetOf(call).candidates ?? Infinity);
  const links = call.operation.split('>').map((id) => ({
    operator: registry.operator(id) as unknown as AnyOperator,
    params: operatorParams(call, id, registry),
  }));
  const firstModelCall = links.findIndex(
    ({ operator, params }) => operator.roles.length > 0 || operator.stochastic(params) || refsIn(params).length > 0,
  );
  const plain = firstModelCall === -1 ? links : links.slice(0, firstModelCall);
  const records = plain.length > 0 ? recordsIn(over) : undefined;
  const run = records && (await runOperators(records, tried, plain).catch(() => undefined)); // the step itself will report the error
  let [rows, requests] = [run?.rows ?? tried, 0];
  for (const { operator, params } of run ? links.slice(plain.length) : links) {
    if (operator.roles.length > 0 && !operator.scorer?.batch) requests += multiply(rows, operator.calls(params));
    rows = multiply(rows, operator.maxRows(params));
  }
  const counts = run && plain.length === links.length ? { kept: run.kept, dropped: run.dropped } : {};
  return { in: tried, rows, requests, ...counts };
}

/** Runs model-free operators over the first records. */
async function runOperators(records: AsyncIterable<Rec<unknown>>, tried: number, links: readonly Pick<Link, 'operator' | 'params'>[]) {
  const dropped: Record<string, number> = {};
  let [read, kept, rows] = [0, 0, 0];
  const context = { signal: new AbortController().signal } as Context<string>;
  for await (const { value } of records) {
    if (read++ === tried) break;
    let [values, reason]: [unknown[], string] = [[value], ''];
    for (const { operator, params } of links) {
      const next: unknown[] = [];
      for (const one of values) {
        const given = fit(operator.input, one);
        const outcome = 'fault' in given ? drop('invalid') : await operator.run(given.value, context, params);
        if ('dropped' in outcome) reason = outcome.dropped;
        else next.push(...outcome.kept);
      }
      values = next;
    }
    rows += values.length;
    if (values.length > 0) kept++;
    else dropped[reason] = (dropped[reason] ?? 0) + 1;
  }
  return { kept, dropped, rows };
}

/** Reads a source, which also checks its files. */
async function countSource(call: StepCall, registry: Registry): Promise<Pick<Estimate, 'in' | 'rows' | 'kept' | 'dropped' | 'sample'>> {
  const dropped: Record<string, number> = {};
  let [read, kept] = [0, 0];
  const sample: Sample[] = [];
  for await (const one of recordsOf(call, registry, checkParams(call, registry))) {
    read++;
    if ('dropped' in one) dropped[one.dropped] = (dropped[one.dropped] ?? 0) + 1;
    else if (++kept <= SAMPLE_SIZE) sample.push({ value: one.record.value, where: one.where });
  }
  return { in: read, rows: kept, kept, dropped, sample };
}
