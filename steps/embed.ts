/** Prepares a reducer that embeds: writes its texts for the subprocess and reads the results. `devices/` runs the subprocess. */
import { join } from 'node:path';
import type { DatasetRef, ModelRef } from '../schemas/call.ts';
import type { Registry } from './registry.ts';
import { embeddedRow, type EmbedSpec, type EmbeddedRow } from '../schemas/trainer.ts';
import { readLines, writeLines } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { threadsOf } from './machine.ts';
import type { AnyReducer, Resolved } from './resolved.ts';
import type { StepContext } from '../schemas/steps.ts';
import { foldersOf, runFolder } from './train.ts';

/** Writes the texts. A resumed run reuses the file that it started with. */
export async function prepareEmbedding(store: Store, registry: Registry, resolved: Resolved, context: StepContext): Promise<EmbedSpec> {
  const { call, params, stepKey } = resolved;
  const { of, encoder } = call.inputs['inputs'] as { of: DatasetRef; encoder: ModelRef };
  const { texts, settings } = (registry.reducer(call.operation) as AnyReducer).embeds!;
  const run = runFolder(store, stepKey);
  const rows = join(run, 'rows.jsonl');
  async function* textRows() {
    for await (const { value } of store.read(of)) yield { texts: texts(value as never, params) };
  }
  await writeLines(rows, textRows());
  return {
    version: 1,
    model: await foldersOf(store, encoder),
    rows,
    run,
    clusters: 1,
    picks: null,
    ...settings(params),
    seed: context.seed + 1_000_003 * (call.round ?? 0), // another one in each round
    threads: threadsOf(context.training),
  };
}

/** The answers of the subprocess: a row for each record, in order. */
export async function* readEmbeddedRows(answers: string): AsyncIterable<EmbeddedRow> {
  for await (const line of readLines(answers)) yield embeddedRow.parse(line);
}
