/** Writes the records of a step as files that `datasets.load_dataset` reads, with a card. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { datasetCard, type Config } from './cards.ts';
import type { Provenance } from './provenance.ts';
import { text, type Database } from './tables/duckdb.ts';
import { exportQuery, featuresOf, type Format } from './tables/formats.ts';
import { allOf, openDatabase, type StepTable } from './tables/steps.ts';

export interface ExportedData {
  readonly store: Store;
  readonly record: ExperimentRecord;
  readonly table: StepTable;
  /** Of the step; undefined for the result of an experiment. */
  readonly output: Output | undefined;
  /** How messages and the card call it. */
  readonly from: string;
  readonly format: Format;
  readonly provenance: Provenance;
  /** What the card names; undefined: unknown. */
  readonly license: string | undefined;
}

/** Rows of the file, and records that lack a field that the format needs. */
export interface ExportedRows {
  readonly file: string;
  readonly rows: number;
  readonly left: number;
}

export async function exportData(
  { store, record, table, output, from, format, provenance, license }: ExportedData,
  folder: string,
): Promise<ExportedRows> {
  const database = await openDatabase(store);
  const ending = format === 'parquet' ? 'parquet' : 'jsonl';
  const write = (query: string, file: string) => copy(database, query, join(folder, file), ending);
  try {
    const file = `data.${ending}`;
    const query = await exportQuery(database, await allOf(store, table), format, from);
    const configs: Config[] = [{ name: 'default', file, rows: await write(query, file), features: await featuresOf(database, query) }];
    const { droppedRecords } = output ?? {};
    if (droppedRecords && (await store.has(droppedRecords))) {
      const dropped = `select id, reason, evidence, to_json(value)::varchar as value from (${await allOf(store, { ref: droppedRecords, layout: 'values' })})`;
      const gone = `dropped.${ending}`;
      configs.push({ name: 'dropped', file: gone, rows: await write(dropped, gone), features: await featuresOf(database, dropped) });
    }
    const about = { ...provenance, from, output, format, license };
    await writeFile(join(folder, 'README.md'), datasetCard(record, await store.dataset(table.ref), configs, about));
    return { file, rows: configs[0]!.rows, left: table.ref.rows - configs[0]!.rows };
  } finally {
    database.close();
  }
}

async function copy(database: Database, query: string, path: string, ending: 'jsonl' | 'parquet'): Promise<number> {
  await database.run(`copy (${query}\n) to ${text(path)} (format ${ending === 'parquet' ? 'parquet, compression zstd' : 'json'})`);
  const [counted] = await database.rows<{ n: number }>(`select count(*) as n from (${query})`);
  return counted!.n;
}
