/** `backspin sql NAME QUERY`: runs a DuckDB query over the records of an experiment's steps. Needs no server. */
import { createReadStream } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import { dirname, basename, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { currentRecord } from '../experiments/current.ts';
import { experimentOf } from '../experiments/record.ts';
import { text } from '../experiments/tables/duckdb.ts';
import { confineTo, openDatabase, prepareQuery } from '../experiments/tables/steps.ts';
import { viewOf } from '../experiments/view.ts';
import { openHome } from '../host/home-store.ts';
import { BackspinError } from '../schemas/errors.ts';
import { number } from '../schemas/units.ts';
import { temporary } from '../store/files.ts';
import { pathsOf } from '../store/paths.ts';
import { escapeControlsJson } from './terminal/terminal.ts';
import { recordTable } from './terminal/text.ts';

interface Options {
  readonly format: 'table' | 'jsonl' | 'csv' | 'parquet';
  readonly to?: string;
}

/** Rows of a table on the screen. */
const MOST_ROWS = 1000;
const copyOptions = { jsonl: 'format json', csv: 'format csv, header', parquet: 'format parquet, compression zstd' } as const;

export async function run(experiment: string, sql: string, { format, to }: Options): Promise<void> {
  const store = await openHome();
  const record = await currentRecord(await experimentOf(store, experiment));
  const database = await openDatabase(store);
  try {
    const wanted = sql.trim().replace(/;$/, '');
    const query = await prepareQuery(database, store, record, await viewOf(store, record), wanted);
    await confineTo(database, store);
    await database.requireQuery(query);
    if (format === 'table') {
      if (to !== undefined) throw new BackspinError('ConfigError', 'A file needs a format: add --format jsonl, csv or parquet.');
      const { rows, more } = await database.head(query, MOST_ROWS);
      console.log(recordTable(await database.columns(query), rows));
      if (more) console.error(`These are the first ${number(MOST_ROWS)} rows: \`--format jsonl\` gives all.`);
      return;
    }
    if (to === undefined && format === 'parquet' && process.stdout.isTTY)
      throw new BackspinError('ConfigError', 'Parquet is no text: name a file with --to FILE.');
    const target = to === undefined ? undefined : resolve(to);
    const part = temporary(pathsOf(store.root).temporary, 'query');
    try {
      await database.run(`copy (${query}\n) to ${text(part)} (${copyOptions[format]})`);
      if (target === undefined) await print(part);
      else await place(part, target);
    } finally {
      await rm(part, { force: true });
    }
  } finally {
    database.close();
  }
}

/** Copies a file, which may be on another disk, so that `target` is there whole or not at all. */
async function place(file: string, target: string): Promise<void> {
  const part = temporary(dirname(target), basename(target));
  try {
    await copyFile(file, part);
    await rename(part, target);
  } finally {
    await rm(part, { force: true });
  }
}

/** Sends a file to stdout; on a terminal without control characters. */
async function print(path: string): Promise<void> {
  if (!process.stdout.isTTY) return pipeline(createReadStream(path), process.stdout, { end: false });
  for await (const part of createReadStream(path, 'utf8')) process.stdout.write(escapeControlsJson(part as string));
}
