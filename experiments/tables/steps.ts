/** The tables of an experiment: for each step its records and its dropped records, and what is known of all steps. */
import { isRef, type DatasetRef } from '../../schemas/call.ts';
import { BackspinError } from '../../schemas/errors.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import { pathsOf } from '../../store/paths.ts';
import type { Store } from '../../store/store.ts';
import { metricNames } from '../../workflows/measured.ts';
import { findStep, outputOf } from '../steps.ts';
import type { View } from '../view.ts';
import { Database, name, text } from './duckdb.ts';
import { tableOf, type Layout } from './parquet.ts';

/** A dataset that a step has given. */
export interface StepTable {
  /** `records`, `dropped`, or the name of a reducer's result. */
  readonly label: string;
  readonly ref: DatasetRef;
  readonly layout: Layout;
}

/** The datasets of a step: its records (of an evaluation, the answers), each result of a reducer by its name, and its dropped records. */
export function tablesOf(step: Pick<Step, 'result'>, output: Output): StepTable[] {
  const result = step.result ?? output.result;
  const named = isRef(result) ? { records: output.result } : (output.result as Readonly<Record<string, typeof output.result>>);
  const records = Object.entries(named).flatMap(([label, ref]) =>
    isRef(ref) && ref.kind === 'dataset' ? [{ label, ref, layout: 'records' as const }] : [],
  );
  const answers = output.answers ? [{ label: 'records', ref: output.answers, layout: 'records' as const }] : [];
  const dropped = output.droppedRecords ? [{ label: 'dropped', ref: output.droppedRecords, layout: 'values' as const }] : [];
  return [...records, ...answers, ...dropped];
}

/** A query for all rows of a table, in the order of its records. */
export const allOf = async (store: Store, { ref, layout }: Pick<StepTable, 'ref' | 'layout'>): Promise<string> =>
  `select * from read_parquet(${text(await tableOf(store, ref, layout))})`;

export const openDatabase = (store: Store): Promise<Database> => Database.open(pathsOf(store.root).temporary);

/** Lets the database read tables of the store and nothing else, for good. */
export async function confineTo(database: Database, store: Store): Promise<void> {
  const { temporary, folders } = pathsOf(store.root);
  await database.confine([folders.tables, temporary]);
}

/** A table that a query names: `'r1/judge'.dropped`, with quotation marks of either kind. */
const NAMED = /(\bfrom\s+|\bjoin\s+|,\s*)(?:'((?:[^']|'')+)'|"((?:[^"]|"")+)")(?:\s*\.\s*("[^"]+"|\w+))?/gi;

/**
 * Makes the tables that a query names, and returns the query in DuckDB's words. `'r1/judge'` and `'r1/judge'.records` are the records of
 * that step, `'r1/judge'.dropped` its dropped records. Without a step there are the tables `steps`, `drops` and `metrics`. Throws `NotFound`
 * for a step or a table that is not there.
 */
export async function prepareQuery(database: Database, store: Store, record: ExperimentRecord, view: View, sql: string): Promise<string> {
  await makeOverview(database, view);
  const made = new Set<string>();
  const wanted: (readonly [step: Step, called: string, table: string | undefined])[] = [];
  const query = sql.replaceAll(NAMED, (whole, before: string, single?: string, double?: string, table?: string) => {
    const called = single?.replaceAll("''", "'") ?? double!.replaceAll('""', '"');
    if (before.startsWith(',') && table === undefined) return whole; // a text in a list
    const step = single === undefined ? stepCalled(record, called) : findStep(record, called);
    if (!step) return whole;
    wanted.push([step, called, table?.replaceAll('"', '')]);
    return `${before}${name(called)}${table === undefined ? '' : `.${table}`}`;
  });
  for (const [step, called, table] of wanted) await makeViews(database, store, record, step, called, table, made);
  return query;
}

function stepCalled(record: ExperimentRecord, called: string): Step | undefined {
  try {
    return findStep(record, called);
  } catch {
    return undefined; // a table of DuckDB
  }
}

async function makeViews(
  database: Database,
  store: Store,
  record: ExperimentRecord,
  step: Step,
  called: string,
  table: string | undefined,
  made: Set<string>,
): Promise<void> {
  const tables = tablesOf(step, await outputOf(store, record.name, step));
  const wanted = tables.find(({ label }) => label === (table ?? 'records'));
  const own = tables.map(({ label }) => label).join(', ');
  if (!wanted)
    throw new BackspinError(
      'NotFound',
      table === undefined
        ? `The step ${step.path} has no table \`records\`: give one of ${own || 'another step'}.`
        : `The step ${step.path} has no table "${table}"${table === 'dropped' ? ': it dropped nothing' : own ? `, only ${own}` : ''}.`,
    );
  const view = table === undefined ? name(called) : `${name(called)}.${name(table)}`;
  if (made.has(view)) return;
  made.add(view);
  if (table !== undefined) await database.run(`create schema if not exists ${name(called)}`);
  await database.run(`create view ${view} as ${await allOf(store, wanted)}`);
}

/** `steps`, `drops` and `metrics`. */
async function makeOverview(database: Database, { steps, metrics }: View): Promise<void> {
  const listed = steps.map(({ path, arm, round, name, kind, state, cached, in: entered, kept, requests, seconds }) => ({
    path,
    arm,
    round,
    name,
    kind,
    state,
    cached,
    in: entered,
    kept,
    requests,
    seconds,
  }));
  const drops = steps.flatMap(({ path, arm, round, dropped }) =>
    Object.entries(dropped).map(([reason, count]) => ({ path, arm, round, reason, count })),
  );
  const measured = metrics.flatMap((row) =>
    metricNames([row]).map((metric) => ({ round: row.round, arm: row.arm, metric, value: row[metric] })),
  );
  const own = { path: 'VARCHAR', arm: 'VARCHAR', round: 'BIGINT' };
  const counts = { in: 'BIGINT', kept: 'BIGINT', requests: 'BIGINT', seconds: 'DOUBLE' };
  await makeTable(database, 'steps', listed, { ...own, name: 'VARCHAR', kind: 'VARCHAR', state: 'VARCHAR', cached: 'BOOLEAN', ...counts });
  await makeTable(database, 'drops', drops, { ...own, reason: 'VARCHAR', count: 'BIGINT' });
  await makeTable(database, 'metrics', measured, { round: 'BIGINT', arm: 'VARCHAR', metric: 'VARCHAR', value: 'DOUBLE' });
}

async function makeTable(database: Database, table: string, rows: readonly object[], types: Readonly<Record<string, string>>) {
  const list = `from_json(${text(JSON.stringify(rows))}, ${text(JSON.stringify([types]))})`;
  await database.run(`create table ${table} as select unnest(${list}, recursive := true)`);
}
