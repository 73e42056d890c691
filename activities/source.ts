/** The records of a data source, for who imports them and for who only counts them. */
import type { Call } from '../recipe/call.ts';
import type { Dropped, Emitted, Rec, Schema } from '../recipe/define.ts';
import type { Registry } from '../operators/registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import { recordId } from '../store/canonical.ts';
import { sourceOf } from './definitions.ts';
import { sourceFiles } from './resolve.ts';

/** Every row as a record, kept or dropped; equal ones are kept once. Throws `SchemaError` for a row that does not fit and for a source
 *  that keeps none, `ConfigError` where the source itself fails. */
export async function* recordsOf(call: Call, registry: Registry, params: object): AsyncGenerator<Emitted> {
  const id = call.what.slice('source:'.length);
  const source = sourceOf(call, registry);
  const seen = new Set<string>();
  const reasons = new Set<string>();
  let read = 0;
  for await (const row of rowsOf(id, () => source.rows(params, sourceFiles(call, registry, params)))) {
    read++;
    if (isDropped(row)) {
      reasons.add(row.dropped);
      yield { record: { id: recordId(row.evidence ?? null, [String(read)]), from: [], value: null }, ...row };
      continue;
    }
    const record = checked(source.output, row, `Record ${read} of ${id} (${call.label})`);
    yield seen.has(record.id) ? { record, dropped: 'duplicate' } : { record };
    seen.add(record.id);
  }
  if (seen.size === 0) {
    const why = read === 0 ? 'it holds nothing' : `all ${read} were dropped (${[...reasons].join(', ')})`;
    throw new BackspinError('SchemaError', `${id} (${call.label}) gives no record: ${why}. Give it other files or parameters.`);
  }
}

function checked(schema: Schema<unknown>, row: unknown, what: string): Rec<unknown> {
  try {
    const value = schema.parse(row);
    return { id: recordId(value, []), from: [], value };
  } catch (error) {
    throw new BackspinError('SchemaError', `${what} does not fit: ${faultOf(error, row).replace(/\.$/, '')}.`, { cause: error });
  }
}

/** What a source gives; a failure that is none of ours is put into a sentence. */
async function* rowsOf(id: string, rows: () => AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* rows();
  } catch (error) {
    if (error instanceof BackspinError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new BackspinError('ConfigError', `The source ${id} failed (${why}): mend it, or give it other parameters.`, { cause: error });
  }
}

/** A row of data may have a field of that name too, but not that alone. */
const isDropped = (row: unknown): row is Dropped =>
  typeof row === 'object' &&
  row !== null &&
  'dropped' in row &&
  typeof row.dropped === 'string' &&
  Object.keys(row).every((key) => key === 'dropped' || key === 'evidence');
