/** A page of a step's records: filtered, sorted and cut by a query, so that only its own records are ever in memory. */
import type { Store } from '../../store/store.ts';
import { Database, name, text, type Row } from './duckdb.ts';
import { tableOf } from './parquet.ts';
import { allOf, confineTo, openDatabase, type StepTable } from './steps.ts';

export interface Filter {
  /** Only records dropped for this reason. */
  readonly reason?: string;
  /** Only records that have this text in some field, in any case. */
  readonly text?: string;
  /** A field, and the range that its number must be in. */
  readonly field?: string;
  readonly least?: number;
  readonly most?: number;
  /** A field; `-FIELD` sorts downwards. */
  readonly sort?: string;
}
export interface Page {
  readonly rows: readonly Row[];
  /** Records that pass the filter. */
  readonly total: number;
  readonly fields: readonly Field[];
}
export interface Field {
  readonly name: string;
  readonly numeric: boolean;
  readonly text: boolean;
}
/** Counts of equal-sized ranges of a field. */
export interface Histogram {
  readonly bins: readonly { readonly from: number; readonly to: number; readonly count: number }[];
}

const NUMERIC = /^(BIGINT|DOUBLE|HUGEINT|INTEGER)$/;

/** Opens a database that reads tables of the store and nothing else. */
async function confined(store: Store): Promise<Database> {
  const database = await openDatabase(store);
  await confineTo(database, store);
  return database;
}

/** Records `from` to `from + count` of those that pass. Unknown fields are ignored. */
export async function pageOf(store: Store, table: StepTable, filter: Filter, from: number, count: number): Promise<Page> {
  const query = await allOf(store, table);
  const database = await confined(store);
  try {
    const fields = await fieldsOf(database, query);
    const { where, values } = conditionOf(fields, filter);
    const order = orderOf(fields, filter.sort);
    const passing = `${query}${where}`;
    const rows = await database.rows(`${passing}${order} limit ${count} offset ${from}`, values);
    const total =
      where === '' ? table.ref.rows : (await database.rows<{ n: number }>(`select count(*) as n from (${passing})`, values))[0]!.n;
    return { rows, total, fields };
  } finally {
    database.close();
  }
}

/** The distribution of a numeric field over the records that pass; undefined if there is none. */
export async function histogramOf(store: Store, table: StepTable, filter: Filter, field: string): Promise<Histogram | undefined> {
  const query = await allOf(store, table);
  const database = await confined(store);
  try {
    const fields = await fieldsOf(database, query);
    if (!fields.some((one) => one.name === field && one.numeric)) return undefined;
    const { where, values } = conditionOf(fields, filter);
    return await binned(database, `select ${name(field)} as x from (${query}${where}) where ${name(field)} is not null`, values);
  } finally {
    database.close();
  }
}

/** The number of bins; whole numbers of a small range get one each. */
const BINS = 20;

export async function binned(database: Database, query: string, values: readonly (string | number)[]): Promise<Histogram | undefined> {
  const [range] = await database.rows<{ least: number | null; most: number; whole: boolean }>(
    `select min(x) as least, max(x) as most, bool_and(x = round(x)) as whole from (${query})`,
    values,
  );
  if (!range || range.least === null) return undefined;
  const { least, most, whole } = range;
  const width = whole ? Math.max(1, Math.ceil((most - least + 1) / BINS)) : (most - least) / BINS || 1;
  const bins = await database.rows<{ bin: number; count: number }>(
    `select least(floor((x - ${least}) / ${width}), ${BINS - 1})::integer as bin, count(*) as count from (${query}) group by 1 order by 1`,
    values,
  );
  const start = whole && width === 1 ? least - 0.5 : least; // a whole number stands in the middle of its bar
  return { bins: bins.map(({ bin, count }) => ({ from: start + bin * width, to: start + (bin + 1) * width, count })) };
}

export async function fieldsOf(database: Database, query: string): Promise<Field[]> {
  const described = await database.rows<{ column_name: string; column_type: string }>(
    `select column_name, column_type from (describe ${query})`,
  );
  return described.map((one) => {
    const { column_name: called, column_type: type } = one;
    return { name: called, numeric: NUMERIC.test(type), text: type === 'VARCHAR' };
  });
}

function conditionOf(fields: readonly Field[], filter: Filter) {
  const { reason, text: wanted, field, least, most } = filter;
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const use = (value: string | number) => `$${values.push(value)}`;
  if (reason !== undefined && fields.some((one) => one.name === 'reason')) conditions.push(`reason = ${use(reason)}`);
  if (field !== undefined && fields.some((one) => one.name === field && one.numeric)) {
    if (least !== undefined) conditions.push(`${name(field)} >= ${use(least)}`);
    if (most !== undefined) conditions.push(`${name(field)} <= ${use(most)}`);
  }
  if (wanted !== undefined && wanted !== '') {
    const place = use(wanted.toLowerCase());
    const any = fields.map((one) => `contains(lower(${name(one.name)}::varchar), ${place})`);
    conditions.push(`(${any.join(' or ')})`);
  }
  return { where: conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`, values };
}

function orderOf(fields: readonly Field[], sort: string | undefined): string {
  const field = sort?.replace(/^-/, '');
  if (field === undefined || !fields.some((one) => one.name === field)) return '';
  return ` order by ${name(field)} ${sort!.startsWith('-') ? 'desc' : 'asc'} nulls last`;
}

/** The number of records by reason. */
export async function reasonsOf(store: Store, table: StepTable): Promise<{ readonly reason: string; readonly count: number }[]> {
  const path = await tableOf(store, table.ref, table.layout);
  const database = await confined(store);
  try {
    return await database.rows(`select reason, count(*) as count from read_parquet(${text(path)}) group by 1 order by 2 desc, 1`);
  } finally {
    database.close();
  }
}
