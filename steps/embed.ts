/** A reducer that embeds: its records' texts for the child, and what the child answered. The child itself is in `devices/`. */
import { join } from 'node:path';
import type { DatasetRef, ModelRef } from '../schemas/call.ts';
import type { Registry } from './registry.ts';
import { placed, type EmbedSpec, type Placed } from '../schemas/trainer.ts';
import { readLines, writeLines } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { threadsOf } from './machine.ts';
import type { AnyReducer, Resolved } from './resolved.ts';
import type { StepContext } from '../schemas/steps.ts';
import { foldersOf, runFolder } from './train.ts';

/** Writes the texts. A run that goes on finds what it began with. */
export async function prepareEmbedding(store: Store, registry: Registry, resolved: Resolved, context: StepContext): Promise<EmbedSpec> {
  const { call, params, stepKey } = resolved;
  const { of, encoder } = call.inputs['inputs'] as { of: DatasetRef; encoder: ModelRef };
  const { texts, settings } = (registry.reducer(call.operation) as AnyReducer).embeds!;
  const run = runFolder(store, stepKey);
  const rows = join(run, 'rows.jsonl');
  async function* asked() {
    for await (const { value } of store.read(of)) yield { texts: texts(value as never, params) };
  }
  await writeLines(rows, asked());
  return {
    version: 1,
    model: await foldersOf(store, encoder),
    rows,
    run,
    clusters: 1,
    picks: null,
    ...settings(params),
    seed: context.seed + 1_000_003 * (call.round ?? 0), // afresh in each round
    threads: threadsOf(context.training),
  };
}

/** For each record, in order, what the child said. */
export async function* placesIn(answers: string): AsyncIterable<Placed> {
  for await (const line of readLines(answers)) yield placed.parse(line);
}
