/** Reads the records of a data source, for importing or counting them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve as resolvePath } from 'node:path';
import type { StepCall } from '../schemas/call.ts';
import { drop, type Dropped, type Emitted, type PlaceReporter, type Rec, type Schema } from '../recipe/define.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import { recordId } from '../schemas/canonical.ts';
import { sourceOf } from './definitions.ts';
import type { AnySource } from './resolved.ts';
import { downloadDataset, hubDatasetOf } from './hub-data.ts';
import { writeRequests } from '../devices/lm-eval.ts';
import { sourceFiles } from './input-files.ts';

/** A record, and the file (relative to the experiment's folder) and line that it comes from, if its source reports them. */
export type Sourced = Emitted & { readonly where: string | undefined };

/** Yields every row as a kept or dropped record; drops duplicates. Throws `SchemaError` for an invalid row (unless `onInvalid` is `drop`)
 *  and for a source without any kept record, and `ConfigError` if the source itself fails. */
export async function* recordsOf(call: StepCall, registry: Registry, params: object): AsyncGenerator<Sourced> {
  const id = call.operation.slice('source:'.length);
  const source = sourceOf(call, registry);
  const seen = new Set<string>();
  const reasons = new Set<string>();
  const { folder } = call.inputs as { folder: string };
  let where: string | undefined;
  const dataset = hubDatasetOf(call, registry);
  await using requests = await requestsOf(source, params, folder);
  const files = requests?.files ?? (dataset ? await downloadDataset(dataset, source) : sourceFiles(call, registry, params));
  const nameOf = (file: string) => (dataset ? `${dataset.repository}/${nameInSnapshot(file)}` : relative(folder, file));
  const place: PlaceReporter = (file, line) => (where = `${nameOf(file)}${line === undefined ? '' : `:${line}`}`);
  let read = 0;
  for await (const given of rowsOf(id, () => source.rows(params, files, place))) {
    read++;
    const row = isDropped(given) ? given : parseRow(source.output, given);
    if ('fault' in row && (params as { onInvalid?: string }).onInvalid !== 'drop') {
      const what = `Record ${read} of ${id} (${call.label}${where === undefined ? '' : `, ${where}`})`;
      throw new BackspinError('SchemaError', `${what} does not fit: ${row.fault}.`);
    }
    if ('value' in row) {
      yield seen.has(row.id) ? { record: row, dropped: 'duplicate', where } : { record: row, where };
      seen.add(row.id);
      continue;
    }
    const dropped = 'fault' in row ? drop('invalid', `${where ?? `record ${read}`} does not fit: ${row.fault}`) : row;
    reasons.add(dropped.dropped);
    yield { record: { id: recordId(dropped.evidence ?? null, [String(read)]), from: [], value: null }, ...dropped, where };
  }
  if (seen.size === 0) {
    const why = read === 0 ? 'it holds nothing' : `all ${read} were dropped (${[...reasons].join(', ')})`;
    throw new BackspinError('SchemaError', `${id} (${call.label}) gives no record: ${why}. Give it other files or parameters.`);
  }
}

/** The requests of a source that has the harness write them, in a file that disappears; undefined for another source. */
async function requestsOf({ harness }: AnySource, params: object, folder: string) {
  if (!harness) return undefined;
  const { include, tasks } = harness(params);
  const scratch = await mkdtemp(join(tmpdir(), 'backspin-'));
  const file = join(scratch, 'requests.jsonl');
  const remove = () => rm(scratch, { recursive: true, force: true });
  await writeRequests(tasks, include === null ? null : resolvePath(folder, include), file).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  return { files: [file], [Symbol.asyncDispose]: remove };
}

/** The name of a file in its repository, by its path in the Hub's cache. */
const nameInSnapshot = (file: string) => file.replace(/^.*\/snapshots\/[0-9a-f]+\//, '');

function parseRow(schema: Schema<unknown>, row: unknown): Rec<unknown> | { readonly fault: string } {
  try {
    const value = schema.parse(row);
    return { id: recordId(value, []), from: [], value };
  } catch (error) {
    return { fault: faultOf(error, row).replace(/\.$/, '') };
  }
}

/** Yields the rows of a source. Wraps errors of user code in a sentence. */
async function* rowsOf(id: string, rows: () => AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* rows();
  } catch (error) {
    if (error instanceof BackspinError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new BackspinError('ConfigError', `The source ${id} failed (${why}): mend it, or give it other parameters.`, { cause: error });
  }
}

/** A data row may have a field `dropped` too, but not alone. */
const isDropped = (row: unknown): row is Dropped =>
  typeof row === 'object' &&
  row !== null &&
  'dropped' in row &&
  typeof row.dropped === 'string' &&
  Object.keys(row).every((key) => key === 'dropped' || key === 'evidence');
