/** What a report tells of an experiment: every number and sample in it, as plain data. */
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { determinism, type Determinism, type Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { metricCells, type MetricCell } from './intervals.ts';
import type { Database, Row } from './tables/duckdb.ts';
import { name as quoted } from './tables/duckdb.ts';
import { binned, fieldsOf, type Field, type Histogram } from './tables/page.ts';
import { allOf, openDatabase, tablesOf, type StepTable } from './tables/steps.ts';
import type { Money } from './cost.ts';
import { thresholdsOf, type Threshold } from './thresholds.ts';
import { trainingsOf, type Training } from './trainings.ts';
import { viewOf, type View } from './view.ts';

export interface ExperimentReport {
  readonly view: View;
  readonly config: Omit<BoundConfig, 'name'>;
  readonly configDigest: string;
  readonly metrics: readonly MetricCell[];
  readonly trainings: readonly Training[];
  readonly distributions: readonly Distribution[];
  readonly samples: readonly Sample[];
  readonly cost: Cost;
  /** Steps by how far their bytes can be had again; `cached` ones too. */
  readonly determinism: Readonly<Partial<Record<Determinism, number>>>;
}
/** Of the records of a map, a source or a reducer. */
export interface Distribution {
  readonly path: string;
  readonly field: string;
  /** `value`: of a number; `length`: characters of a text. */
  readonly of: 'value' | 'length';
  readonly records: number;
  readonly histogram: Histogram;
  /** Those of later steps, for a number. */
  readonly thresholds: readonly Omit<Threshold, 'field'>[];
}
/** Records at random, the same in every report. */
export interface Sample {
  readonly path: string;
  readonly table: 'records' | 'dropped';
  readonly total: number;
  readonly fields: readonly Field[];
  readonly rows: readonly Row[];
}
/** Without what other experiments had computed before. */
export interface Cost {
  readonly requests: number;
  readonly tokens: number;
  /** By the prices of external models; empty without prices. */
  readonly money: Money;
  readonly seconds: Readonly<Record<Step['kind'], number>>;
}

const SAMPLES = 5;
/** Fields of one step whose distributions are shown. */
const MOST_FIELDS = 4;

export async function reportOf(store: Store, record: ExperimentRecord): Promise<ExperimentReport> {
  const view = await viewOf(store, record);
  const outputs = await Promise.all(record.steps.map(async (step) => (step.stepKey === null ? undefined : store.output(step.stepKey))));
  const ended = record.steps.flatMap((step, at) => (outputs[at] ? [{ step, output: outputs[at] }] : []));
  const database = await openDatabase(store);
  const distributions: Distribution[] = [];
  const samples: Sample[] = [];
  const seen = new Set<string>();
  try {
    for (const { step, output } of ended) {
      if (step.kind === 'train' || step.kind === 'evaluate') continue;
      for (const table of tablesOf(step, output)) {
        if (table.ref.rows === 0 || seen.has(table.ref.digest) || !(await store.has(table.ref))) continue;
        seen.add(table.ref.digest);
        const query = await allOf(store, table);
        const fields = await fieldsOf(database, query);
        const path = table.label === 'records' ? step.path : `${step.path}, ${table.label}`;
        if (table.label !== 'dropped') {
          const thresholds = await thresholdsOf(store, database, ended, table.ref.digest);
          distributions.push(...(await distributionsOf(database, { path, records: table.ref.rows, query, fields, thresholds })));
        }
        if (step.kind === 'map' || table.label === 'dropped') samples.push(await sampleOf(database, step.path, table, query, fields));
      }
    }
  } finally {
    database.close();
  }
  const { name: _, ...config } = record.config as BoundConfig;
  const { configDigest } = record;
  const metrics = metricCells(view);
  return {
    view,
    config,
    configDigest,
    metrics,
    trainings: await trainingsOf(store, ended),
    distributions,
    samples,
    cost: { ...costOf(ended), money: view.cost },
    determinism: classesOf(ended),
  };
}

interface Distributed {
  readonly path: string;
  readonly records: number;
  readonly query: string;
  readonly fields: readonly Field[];
  readonly thresholds: readonly Threshold[];
}

/** Numbers with a threshold come first. */
async function distributionsOf(database: Database, { path, records, query, fields, thresholds }: Distributed): Promise<Distribution[]> {
  const hasThreshold = (field: Field) => thresholds.some((one) => one.field === field.name);
  const numeric = fields.filter((field) => field.numeric).toSorted((a, b) => Number(hasThreshold(b)) - Number(hasThreshold(a)));
  const numbers = numeric.slice(0, MOST_FIELDS);
  const texts = fields.filter(({ text, name }) => text && name !== 'id').slice(0, MOST_FIELDS - numbers.length);
  const found: Distribution[] = [];
  for (const field of [...numbers, ...texts]) {
    const { name } = field;
    const x = field.numeric ? quoted(name) : `length(${quoted(name)})`;
    const histogram = await binned(database, `select ${x} as x from (${query}) where ${quoted(name)} is not null`, []);
    if (!histogram || (histogram.bins.length === 1 && !hasThreshold(field))) continue;
    const own = thresholds.flatMap(({ field: of, ...one }) => (of === name && field.numeric ? [one] : []));
    found.push({ path, field: name, of: field.numeric ? 'value' : 'length', records, histogram, thresholds: own });
  }
  return found;
}

/** Those whose ids have the lowest hashes: a choice that hangs on no order. */
async function sampleOf(database: Database, path: string, table: StepTable, query: string, fields: readonly Field[]): Promise<Sample> {
  const rows = await database.rows(`${query} order by md5(id), id limit ${SAMPLES}`);
  return { path, table: table.label === 'dropped' ? 'dropped' : 'records', total: table.ref.rows, fields, rows };
}

type Ended = readonly { readonly step: Step; readonly output: Output }[];

function costOf(ended: Ended): Omit<Cost, 'money'> {
  const own = ended.filter(({ step }) => !step.cached).map(({ output }) => output);
  const sum = (of: (output: Output) => number, some = own) => some.reduce((total, output) => total + of(output), 0);
  const seconds = (verb: Step['kind']) =>
    sum(
      (output) => output.seconds,
      own.filter((output) => output.verb === verb),
    );
  return {
    requests: sum(({ requests }) => requests),
    tokens: sum(({ tokens }) => tokens),
    seconds: { map: seconds('map'), reduce: seconds('reduce'), train: seconds('train'), evaluate: seconds('evaluate') },
  };
}

function classesOf(ended: Ended): ExperimentReport['determinism'] {
  const counts = determinism.options.map((one) => [one, ended.filter(({ output }) => output.determinism === one).length] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}
