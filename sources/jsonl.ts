/** Reads rows from JSON Lines files. */
import { z } from 'zod';
import { drop, source, type Dropped } from '../recipe/index.ts';
import { BackspinError } from '../schemas/errors.ts';
import { getAt, namesOf, objectsOf, type Values } from './lines.ts';
import type { Fault } from './unreadable.ts';

export const paths = z.union([z.string(), z.array(z.string()).min(1)]).transform((path) => (typeof path === 'string' ? [path] : path));
export const onInvalid = z.enum(['fail', 'drop']).default('fail').describe('What becomes of a line, or a document, that does not fit.');

const types = ['string', 'number', 'boolean', 'any'] as const;
const field = z.union([
  z.string().transform((path) => ({ path, type: 'string' as const, optional: false })),
  z.strictObject({
    path: z.string(),
    type: z.enum(types).default('string'),
    optional: z.boolean().default(false).describe('A line may lack it, or have null there; it is null then.'),
  }),
]);
const params = z.strictObject({
  path: paths.describe('A file, or files in order: .jsonl, .jsonl.gz, .jsonl.zst.'),
  fields: z
    .record(z.string(), field)
    .optional()
    .describe('Name of a field in the dataset -> where it lies in a line, such as `prompt.text`. Default: lines as they are.'),
  onInvalid,
});
type Fields = z.infer<typeof params>['fields'];

/** Yields one object per line. Drops a line as `empty` if a required field of `fields` is a blank text. A line is invalid if it is not a
 *  JSON object, or if it lacks a required field of `fields` or has it in another type: this ends the import with a `SchemaError`, or
 *  drops the line as `invalid`. Each message names file and line. Integers beyond 2^53 become texts; of duplicate keys the last one
 *  counts. */
export const jsonl = source<Values, z.infer<typeof params>>({
  version: 4,
  output: z.record(z.string(), z.unknown()),
  params,
  files: ({ path }) => path,
  async *rows({ fields, onInvalid }, files, place = () => {}) {
    const nameOf = namesOf(files);
    for (const file of files) {
      const where = (number?: number) => ({ file, name: nameOf(file), number });
      for await (const line of objectsOf(file)) {
        place(file, line.number);
        if ('fault' in line) {
          yield failOrDrop(where(line.number), line, onInvalid);
          continue;
        }
        const blank = blankIn(line.value, fields);
        const row = blank ? drop('empty', `${nameOf(file)}:${line.number} has an empty "${blank}"`) : mapRow(line.value, fields);
        if (typeof row !== 'string') yield row;
        else yield failOrDrop(where(line.number), { fault: row, remedy: 'mend the line' }, onInvalid);
      }
    }
  },
});

/** Where a text should lie in a line, and nothing does but blanks. */
const blankIn = (value: Values, fields: Fields): string | undefined =>
  Object.values(fields ?? {}).find(({ path, type, optional }) => {
    const found = type === 'string' && !optional && getAt(value, path);
    return typeof found === 'string' && found.trim() === '';
  })?.path;

/** Maps a line to a row, or says what is wrong with the line. */
function mapRow(value: Values, fields: Fields): Values | string {
  if (!fields) return value;
  const row: Record<string, unknown> = {};
  for (const [name, { path, type, optional }] of Object.entries(fields)) {
    const found = getAt(value, path) ?? null;
    if (found === null && !optional) return `has no "${path}"`;
    if (found !== null && type !== 'any' && typeof found !== type) return `has a "${path}" that is no ${type}`;
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
