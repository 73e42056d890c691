/** Makes the Parquet table of a dataset, once: queries over a million records then take a second. The store keeps it beside the dataset. */
import { rename, rm } from 'node:fs/promises';
import type { DatasetRef } from '../../schemas/call.ts';
import { isThere, temporary } from '../../store/files.ts';
import { pathsOf } from '../../store/paths.ts';
import type { Store } from '../../store/store.ts';
import { Database, name, text } from './duckdb.ts';

/** Columns of a table besides the fields of its records. `records`: the record's id and parents; `values`: none, since the value is about
 *  another record and has its id. */
export type Layout = 'records' | 'values';

/** Types of DuckDB by field, as `json_transform` takes them. */
type Structure = string | readonly Structure[] | { readonly [field: string]: Structure };

/** An object with more fields is a map whose keys are data: it stays JSON. */
const MOST_FIELDS = 200;
const LEAST_OBJECT = 16 * 2 ** 20;

const underWay = new Map<string, Promise<string>>();

/** Path of the dataset's table. The first call makes it, after it has verified every shard: 20 seconds for a million records of 1 KB. */
export function tableOf(store: Store, ref: Pick<DatasetRef, 'digest'>, layout: Layout): Promise<string> {
  const path = pathsOf(store.root).table(ref.digest, layout);
  const making = underWay.get(path) ?? makeTable(store, ref, layout, path);
  underWay.set(path, making);
  return making.finally(() => underWay.delete(path));
}

async function makeTable(store: Store, ref: Pick<DatasetRef, 'digest'>, layout: Layout, path: string): Promise<string> {
  if (await isThere(path)) return path;
  const files = await store.shardFiles(ref);
  const { shards } = await store.dataset(ref);
  const part = temporary(pathsOf(store.root).temporary, ref.digest);
  const database = await Database.open(pathsOf(store.root).temporary);
  try {
    const largest = Math.max(LEAST_OBJECT, ...shards.map(({ bytes }) => bytes));
    const lines =
      files.length === 0
        ? `(select null::varchar as id, null::varchar[] as "from", null::json as value where false)`
        : `read_json([${files.map(text).join()}], format = 'newline_delimited', compression = 'zstd', maximum_object_size = ${largest},` +
          ` columns = {id: 'VARCHAR', "from": 'VARCHAR[]', value: 'JSON'})`;
    const [found] = await database.rows<{ structure: string | null; huge: boolean | null }>(
      `select json_group_structure(value)::varchar as structure, bool_or(huge) as huge from (${oneOfEach(lines)})`,
    );
    const fields = typed(JSON.parse(found?.structure ?? '{}') as Structure, found?.huge ? 'DOUBLE' : 'BIGINT');
    const types = text(JSON.stringify(typeof fields === 'object' && Object.keys(fields).length === 0 ? 'JSON' : fields));
    const rows = `(select *, json_transform(value, ${types}) as read from ${lines})`;
    await database.run(
      `copy (select ${columnsOf(fields, layout)} from ${rows}) to ${text(part)} (format parquet, compression zstd, row_group_size 20000)`,
    );
    await rename(part, path);
    return path;
  } finally {
    database.close();
    await rm(part, { force: true });
  }
}

/** A value of each structure: json_group_structure keeps all that it sees in memory. */
const oneOfEach = (lines: string): string =>
  `select any_value(value) as value, bool_or(regexp_matches(value, '[:,[]-?[0-9]{19}')) as huge from ${lines} group by json_structure(value)`;

/** The select list: every field of the records as a column. A field called as another column gets `value_` before its name. */
function columnsOf(fields: Structure, layout: Layout): string {
  const own = layout === 'records' ? ['id', 'from'] : [];
  if (typeof fields !== 'object' || Array.isArray(fields)) return [...own.map(name), 'value'].join();
  const taken = new Set(own); // DuckDB takes Text and text for one name
  const columns = Object.keys(fields).map((field, at) => {
    let column = field;
    while (taken.has(column.toLowerCase())) column = `value_${column}`;
    taken.add(column.toLowerCase());
    return `struct_extract_at(read, ${at + 1}) as ${name(column)}`;
  });
  const all = [...own.map(name), ...columns];
  return all.length === 0 ? 'null as nothing' : all.join();
}

/** The types to read with: whole numbers are `whole`, which has a sign; nothing but null is a text; objects with very many fields stay JSON. */
function typed(structure: Structure, whole: 'BIGINT' | 'DOUBLE'): Structure {
  if (typeof structure === 'string') return structure.endsWith('BIGINT') ? whole : structure === 'NULL' ? 'VARCHAR' : structure;
  if (Array.isArray(structure)) return structure.map((inner) => typed(inner, whole));
  const entries = Object.entries(structure as Record<string, Structure>);
  if (entries.length > MOST_FIELDS) return 'JSON';
  return Object.fromEntries(entries.map(([field, inner]) => [field, typed(inner, whole)]));
}
