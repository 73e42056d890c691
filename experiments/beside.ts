/** Two tables of records side by side: what is in both, and what is in one alone. */
import { pathsOf } from '../store/paths.ts';
import type { Store } from '../store/store.ts';
import type { Database, Row } from './tables/duckdb.ts';
import type { Field } from './tables/page.ts';
import { fieldsOf } from './tables/page.ts';
import { allOf, openDatabase, type StepTable } from './tables/steps.ts';

export interface Side {
  readonly path: string;
  readonly rows: number;
  readonly fields: readonly Field[];
  /** The first records that only this one has, and their number. */
  readonly only: { readonly rows: readonly Row[]; readonly total: number };
}
export interface Beside {
  readonly sides: readonly [Side, Side];
  /** Number of records that both have. */
  readonly common: number;
}
interface Named {
  readonly path: string;
  readonly table: StepTable;
}

/** Two records are the same if they have the same id, that is the same value made of the same records. */
export async function besideOf(store: Store, a: Named, b: Named, limit: number): Promise<Beside> {
  const [first, second] = [await allOf(store, a.table), await allOf(store, b.table)];
  const database = await openDatabase(store);
  try {
    const { temporary, folders } = pathsOf(store.root);
    await database.confine([folders.tables, temporary]);
    const sides = [await sideOf(database, a, first, second, limit), await sideOf(database, b, second, first, limit)] as const;
    const [both] = await database.rows<{ n: number }>(`select count(*) as n from (${first}) where id in (select id from (${second}))`);
    return { sides, common: both!.n };
  } finally {
    database.close();
  }
}

async function sideOf(database: Database, { path, table }: Named, own: string, other: string, limit: number): Promise<Side> {
  const only = `select * from (${own}) where id not in (select id from (${other}))`;
  const [count] = await database.rows<{ n: number }>(`select count(*) as n from (${only})`);
  const rows = await database.rows(`${only} limit ${limit}`);
  return { path, rows: table.ref.rows, fields: await fieldsOf(database, own), only: { rows, total: count!.n } };
}
