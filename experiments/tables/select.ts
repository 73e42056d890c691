/** Chooses records of a step: by a condition, in an order, or at random. */
import type { Store } from '../../store/store.ts';
import { text, type Row } from './duckdb.ts';
import { allOf, confineTo, openDatabase, type StepTable } from './steps.ts';

export interface Selection {
  /** A condition in SQL. */
  readonly where?: string;
  /** An order in SQL. */
  readonly sort?: string;
  /** How many records to draw, before they are sorted. Another draw at each call. */
  readonly sample?: number;
  /** Only records dropped for this reason. */
  readonly reason?: string;
}

/** At most `limit` records, or those of the sample. Throws `ConfigError` with DuckDB's words if it does not understand the selection. */
export async function selectRecords(
  store: Store,
  table: Pick<StepTable, 'ref' | 'layout'>,
  { where, sort, sample, reason }: Selection,
  limit: number,
): Promise<Row[]> {
  const conditions = [...(where === undefined ? [] : [`(${where}\n)`]), ...(reason === undefined ? [] : [`reason = ${text(reason)}`])];
  const database = await openDatabase(store);
  try {
    const all = await allOf(store, table);
    await confineTo(database, store);
    const passing = `${all}${conditions.length > 0 ? ` where ${conditions.join(' and ')}` : ''}`;
    const drawn = sample === undefined ? passing : `select * from (${passing}) using sample reservoir(${sample} rows)`;
    const query = `select * from (${drawn})${sort === undefined ? '' : ` order by ${sort}\n`} limit ${Math.max(limit, sample ?? 0)}`;
    await database.requireQuery(query);
    return await database.rows(query);
  } finally {
    database.close();
  }
}
