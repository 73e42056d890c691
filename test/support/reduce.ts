/** Runs reducers and sources by hand: rows in, kept and dropped rows out. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Emitted, Rec, ReducerContext, ReducerDef, Rows, SourceDef } from '../../recipe/define.ts';
import type { EmbeddedRow } from '../../schemas/trainer.ts';
import { recordId } from '../../schemas/canonical.ts';

export const rec = <T>(value: T): Rec<T> => ({ id: recordId(value, []), from: [], value });
export const rows = <T>(records: readonly Rec<T>[]): Rows<T> => ({
  rows: records.length,
  async *[Symbol.asyncIterator]() {
    yield* records;
  },
});

/** Returns a generator of numbers in [0, 1) (mulberry32). */
export function randomOf(seed: number | string): () => number {
  let state = Array.from(String(seed)).reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 0x01000193), 0x811c9dc5);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Split {
  readonly kept: readonly Rec<Readonly<Record<string, unknown>>>[];
  readonly dropped: readonly { readonly id: string; readonly reason: string; readonly evidence: string | undefined }[];
}
/** Runs a reducer of records. `inputs` as a recipe names them, with `rows` in place of references. */
export async function reduce(
  reducer: ReducerDef<never, never, never> | object,
  inputs: unknown,
  params: object = {},
  seed = 0,
  places: () => AsyncIterable<EmbeddedRow> = async function* () {},
): Promise<Split> {
  const { params: schema, run } = reducer as ReducerDef<unknown, never, object>;
  const reading: ReducerContext = {
    random: (name) => randomOf(`${seed}/${name}`),
    derive: (value, from) => ({
      id: recordId(
        value,
        from.map(({ id }) => id),
      ),
      from: from.map(({ id }) => id),
      value,
    }),
    places: places(),
    signal: new AbortController().signal,
  };
  const kept: Split['kept'][number][] = [];
  const dropped: Split['dropped'][number][] = [];
  for await (const one of run(inputs, (schema ? schema.parse(params) : params) as object, reading) as AsyncIterable<Emitted>) {
    if ('dropped' in one) dropped.push({ id: one.record.id, reason: one.dropped, evidence: one.evidence });
    else kept.push(one.record as Split['kept'][number]);
  }
  return { kept, dropped };
}

/** Formats values as JSONL. */
export const lines = (...values: unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');
/** Makes a folder with these files, and returns their paths. */
export async function files(contents: Readonly<Record<string, string | Uint8Array>>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
  const paths = Object.keys(contents).map((name) => join(folder, name));
  await Promise.all(Object.values(contents).map((content, i) => writeFile(paths[i]!, content)));
  return paths;
}
/** Reads files with a source: rows and dropped records. */
export async function rowsOf<T, P extends object>(source: SourceDef<T, P>, paths: readonly string[], params: object = {}) {
  const checked = source.params!.parse({ path: paths, ...params }) as P;
  const given: T[] = [];
  const dropped: { readonly reason: string; readonly evidence: string | undefined }[] = [];
  for await (const row of source.rows(checked, paths)) {
    if (typeof row === 'object' && row !== null && 'dropped' in row) dropped.push({ reason: row.dropped, evidence: row.evidence });
    else given.push(row);
  }
  return { rows: given, dropped };
}
