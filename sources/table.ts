/** Reads rows from tables: JSON Lines, JSON, CSV, TSV, Parquet, Arrow. */
import { z } from 'zod';
import { drop, source, type Dropped, type PlaceReporter } from '../recipe/index.ts';
import { BackspinError } from '../schemas/errors.ts';
import { formatLike, formatNames, pairOf, treesOf } from './conversations.ts';
import { getAt, namesOf, type Values } from './lines.ts';
import { entriesOf, TABLES } from './tables.ts';
import type { Fault } from './unreadable.ts';

export const paths = z.union([z.string(), z.array(z.string()).min(1)]).transform((path) => (typeof path === 'string' ? [path] : path));
export const onInvalid = z.enum(['fail', 'drop']).default('fail').describe('What becomes of a row, or a document, that does not fit.');

const types = ['string', 'number', 'boolean', 'any'] as const;
const where = paths.describe('Where it lies in a row, such as `prompt.text`; of several places, their texts with a blank line in between.');
const field = z.union([
  where.transform((path) => ({ path, type: 'string' as const, optional: false })),
  z.strictObject({
    path: where,
    type: z.enum(types).default('string'),
    optional: z.boolean().default(false).describe('A row may lack it, or have null there; it is null then.'),
  }),
]);
/** How rows are read, wherever their files are. */
export const rowParams = {
  format: z
    .enum(formatNames)
    .optional()
    .describe(
      'Makes `instruction` and `response` of rows in this format: messages (role, content), sharegpt (from, value), alpaca, prompt-completion, preference (the chosen answer), lima, guanaco ("### Human:"), oasst (trees, or their messages).',
    ),
  turns: z
    .enum(['first', 'last', 'single'])
    .default('first')
    .describe('With `format`: the exchange that is taken of a conversation; `single` drops conversations of several.'),
  fields: z.record(z.string(), field).optional().describe('Name of a field in the dataset -> where it lies. Default: rows as they are.'),
  limit: z.int().min(1).optional().describe('Rows that are read at most. Default: all.'),
  onInvalid,
};
export const formatOrFields = z.refine<{ format?: unknown; fields?: unknown }>(({ format, fields }) => !format || !fields, {
  path: ['fields'],
  error: '`format` makes the fields; leave one of the two out',
});
const params = z
  .strictObject({
    path: paths.describe(
      'Files, folders and globs, in order: .jsonl, .json, .csv and .tsv, each also as .gz or .zst, .parquet, .arrow and .feather. A folder stands for all such files below it.',
    ),
    ...rowParams,
  })
  .check(formatOrFields);
export type RowParams = Omit<z.infer<typeof params>, 'path'>;
type Fields = RowParams['fields'];

/** Yields one object per row. Drops a row as `empty` if a required field of `fields` is a blank text. A row is invalid if it is not an
 *  object, if it does not have the `format`, or if it lacks a required field of `fields` or has it in another type: this ends the import
 *  with a `SchemaError`, or drops the row as `invalid`. Each message names file and line. Integers beyond 2^53 become texts; of duplicate
 *  keys the last one counts. */
export const table = source<Values, z.infer<typeof params>>({
  version: 2,
  output: z.record(z.string(), z.unknown()),
  params,
  endings: TABLES,
  files: ({ path }) => path,
  rows: rowsOf,
});

/** Yields the rows of tables as `table` does. */
export async function* rowsOf(
  params: RowParams,
  files: readonly string[],
  place: PlaceReporter = () => {},
): AsyncGenerator<Values | Dropped> {
  const nameOf = namesOf(files);
  let count = 0;
  for (const file of files) {
    const where = (number?: number) => ({ file, name: nameOf(file), number });
    const entries = entriesOf(file);
    for await (const entry of params.format === 'oasst' ? treesOf(entries) : entries) {
      if (params.limit !== undefined && ++count > params.limit) return;
      place(file, entry.number);
      const read = 'fault' in entry ? entry : rowOf(entry.value, params, `${nameOf(file)}:${entry.number}`);
      yield 'row' in read ? read.row : failOrDrop(where(entry.number), read, params.onInvalid);
    }
  }
}

function rowOf(value: Values, { format, turns, fields }: RowParams, where: string): { readonly row: Values | Dropped } | Fault {
  const blank = blankIn(value, fields);
  if (blank) return { row: drop('empty', `${where} has an empty "${blank}"`) };
  const row = format ? pairOf(value, format, turns, where) : mapRow(value, fields);
  return typeof row === 'string' ? { fault: row, remedy: remedyFor(value) } : { row: row as Values | Dropped };
}

function remedyFor(value: Values): string {
  const like = formatLike(value);
  return like ? `it looks like the format ${like}: set \`format: ${like}\`` : 'mend the row';
}

/** Where a text should lie in a row, and nothing does but blanks. */
const blankIn = (value: Values, fields: Fields): string | undefined =>
  Object.values(fields ?? {}).find(({ path, type, optional }) => {
    const found = type === 'string' && !optional && joined(value, path);
    return typeof found === 'string' && found.trim() === '';
  })?.path[0];

/** The value at a path. Of several paths, the texts that are not blank, with a blank line in between; the first must be there. */
function joined(value: Values, [first, ...more]: readonly string[]): unknown {
  const found = getAt(value, first!);
  const texts = more.map((path) => getAt(value, path)).filter((text) => typeof text === 'string' && text.trim() !== '');
  return typeof found === 'string' && texts.length > 0 ? [found, ...texts].join('\n\n') : found;
}

/** Maps an object to a row, or says what is wrong with it. */
function mapRow(value: Values, fields: Fields): Values | string {
  if (!fields) return value;
  const row: Record<string, unknown> = {};
  for (const [name, { path, type, optional }] of Object.entries(fields)) {
    const found = joined(value, path) ?? null;
    if (found === null && !optional) return `has no "${path[0]}"`;
    if (found !== null && type !== 'any' && typeof found !== type) return `has a "${path[0]}" that is no ${type}`;
    row[name] = found;
  }
  return row;
}

export interface Where {
  readonly file: string;
  /** The name in evidence. */
  readonly name: string;
  /** The line number. */
  readonly number?: number | undefined;
}

/** Throws `SchemaError`, or drops the record. */
export function failOrDrop({ file, name, number }: Where, { fault, remedy }: Fault, how: 'fail' | 'drop'): Dropped {
  const line = number === undefined ? '' : `:${number}`;
  if (how === 'drop') return drop('invalid', `${name}${line} ${fault}`);
  throw new BackspinError('SchemaError', `${file}${line} ${fault}: ${remedy}, or set onInvalid to "drop".`);
}
