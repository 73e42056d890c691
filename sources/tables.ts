/** Reads the rows of a file as objects, by its ending: JSON Lines, a JSON list, CSV or TSV, Parquet, Arrow. */
import { CsvError, parse as csvParser } from 'csv-parse';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { isUtf8 } from 'node:buffer';
import { pipeline, Readable } from 'node:stream';
import { arrowRows } from './arrow.ts';
import { exactDecimals } from './decimals.ts';
import { bytesOf, getAt, objectsOf, parseValue, textOf, type Entry, type Values } from './lines.ts';
import { byJq, formatOf, notUtf8, type Fault } from './unreadable.ts';

/** What a file name must end in, to be taken from a folder. */
export const TABLES = /\.(jsonl|ndjson|json|csv|tsv)(\.gz|\.zst)?$|\.(parquet|arrow|feather)$/i;

/** Yields the rows of a file. They are numbered by line in JSON Lines, CSV and TSV, else by place, from 1. */
export async function* entriesOf(path: string): AsyncGenerator<Entry> {
  const [, ending = 'jsonl'] = /\.(json|csv|tsv|parquet|arrow|feather)(?:\.gz|\.zst)?$/i.exec(path) ?? [];
  const kind = ending.toLowerCase();
  if (kind === 'json') yield* listOf(path);
  else if (kind === 'csv' || kind === 'tsv') yield* cellsOf(path, kind);
  else if (kind === 'parquet') yield* parquetOf(path);
  else if (kind === 'arrow' || kind === 'feather') yield* arrowOf(path);
  else yield* objectsOf(path);
}

/** Bytes. A list is parsed as a whole. */
const MAX_LIST = 256 * 2 ** 20;
const tooLargeList = (path: string): Fault => ({
  fault: `is too large: a JSON list can have ${MAX_LIST >> 20} MiB`,
  remedy: `write its entries one a line (${byJq(path, '.[]')})`,
});
/** Names under which a JSON object holds the rows of a dataset. */
const ROWS = ['data', 'rows', 'records', 'examples', 'instances', 'items'];

/** A file that holds one list of objects, or an object with such a list. A `.json` file with an object a line is read as JSON Lines. */
async function* listOf(path: string): AsyncGenerator<Entry> {
  const text = await textOf(path, MAX_LIST, tooLargeList);
  if (typeof text !== 'string') return yield text;
  const whole = parseValue(text.replace('\ufeff', ''));
  const isList = /^\ufeff?\s*\[/.test(text);
  if ('fault' in whole) return isList ? yield { ...whole, remedy: 'mend the file' } : yield* objectsOf(path);
  const list = isList ? whole.value : ROWS.map((name) => getAt(whole.value, name)).find(Array.isArray);
  if (isByColumns(whole.value)) {
    const remedy = 'write its rows (`to_json(path, orient="records", lines=True)` of pandas does)';
    return yield { fault: 'has its columns one by one, as pandas writes them', remedy };
  }
  if (list === undefined) return yield* objectsOf(path);
  for (const [index, value] of (list as unknown[]).entries()) {
    if (isObject(value)) yield { number: index + 1, value };
    else yield { number: index + 1, fault: 'is not a JSON object', remedy: `leave it out (${byJq(path, '.[]')})` };
  }
}
/** Whether each value is an object of cells by row number. */
const isByColumns = (value: unknown): boolean => {
  const columns = isObject(value) ? Object.values(value) : [];
  return columns.length > 0 && columns.every((column) => isObject(column) && '0' in column);
};
const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value);

const CSV = {
  bom: true,
  relax_column_count: true,
  relax_quotes: true, // a quotation mark within a cell that has none around it is text
  skip_empty_lines: true,
  info: true,
  max_record_size: 32 * 2 ** 20,
} as const;

/** All cells are texts; the first row has the names. A `.csv` is cut at commas, semicolons or tabs, whichever its first line has most of. */
async function* cellsOf(path: string, kind: 'csv' | 'tsv'): AsyncGenerator<Entry> {
  const delimiter = kind === 'tsv' ? '\t' : delimiterOf(await firstLine(path));
  let names: readonly string[] | undefined;
  try {
    const cells = pipeline(Readable.from(utf8Of(path)), csvParser({ ...CSV, delimiter }), () => {}) as unknown as AsyncIterable<Cells>;
    for await (const { record, info } of cells) {
      const twice = names ? undefined : record.find((name, at) => record.indexOf(name) !== at);
      if (twice !== undefined) return yield { fault: `has two columns "${twice}"`, remedy: 'rename one' };
      if (!names) names = record;
      else if (record.length === names.length)
        yield { number: info.lines, value: Object.fromEntries(record.map((cell, at) => [names![at], cell])) };
      else yield { number: info.lines, fault: `has ${record.length} cells, and the first row ${names.length}`, remedy: 'mend the row' };
    }
  } catch (error) {
    if (error instanceof Unreadable) yield error.why;
    else if (error instanceof CsvError) yield { fault: `is not ${kind.toUpperCase()} (${error.message})`, remedy: 'mend the file' };
    else throw error;
  }
}
interface Cells {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}
async function firstLine(path: string): Promise<string> {
  for await (const chunk of bytesOf(path)) return chunk.toString().split('\n')[0]!;
  return '';
}
const DELIMITERS = [',', ';', '\t'] as const;
function delimiterOf(line: string): string {
  const bare = line.replaceAll(/"[^"]*"/g, '');
  const count = (delimiter: string) => bare.split(delimiter).length;
  return DELIMITERS.reduce((most, one) => (count(one) > count(most) ? one : most));
}

class Unreadable extends Error {
  readonly why: Fault;
  constructor(why: Fault) {
    super(why.fault);
    this.why = why;
  }
}
/** Passes the bytes of a text on. Throws Unreadable at bytes that are not UTF-8: a parser would put other characters in their place. */
async function* utf8Of(path: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let first = true;
  for await (const chunk of bytesOf(path)) {
    const other = first ? formatOf(path, chunk) : undefined;
    if (other) throw new Unreadable(other);
    first = false;
    try {
      decoder.decode(chunk, { stream: true });
    } catch {
      throw new Unreadable(notUtf8(path, chunk));
    }
    yield chunk;
  }
}

async function* parquetOf(path: string): AsyncGenerator<Entry> {
  let number = 0;
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const exact = exactDecimals(metadata);
    for (const { num_rows } of metadata.row_groups) {
      const rows = { rowStart: number, rowEnd: number + Number(num_rows) };
      for (const row of await parquetReadObjects({ file, metadata, compressors, utf8: false, ...rows }))
        yield { number: ++number, value: plain(exact(row), textOrBase64) as Values };
    }
  } catch (error) {
    yield parquetFault(error as Error);
  }
}
const parquetFault = ({ message }: Error): Fault => ({
  fault: `cannot be read as Parquet (${message})`,
  remedy: 'fetch it again, or write it anew with snappy or zstd',
});

async function* arrowOf(path: string): AsyncGenerator<Entry> {
  let number = 0;
  try {
    for await (const row of arrowRows(path)) yield { number: ++number, value: plain(row) as Values };
  } catch (error) {
    yield {
      fault: `cannot be read as Arrow (${(error as Error).message})`,
      remedy: 'fetch it again, or write it anew',
    };
  }
}

/** A value of Parquet or Arrow as JSON has it: times in ISO 8601; integers beyond 2^53 as texts; NaN, which pandas writes for what is missing, as null. */
function plain(value: unknown, ofBytes = base64): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return ofBytes(value);
  if (Array.isArray(value)) return value.map((one) => plain(one, ofBytes));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner, ofBytes)]));
  return value ?? null;
}
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
/** Bytes of a column that does not say whether it holds texts, as old writers of Parquet leave it. */
const textOrBase64 = (bytes: Uint8Array): string => (isUtf8(bytes) ? Buffer.from(bytes).toString() : base64(bytes));
