/** A reducer that embeds: its records' texts for the child, and what the child answered. The child itself is in `devices/`. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import type { DatasetRef, ModelRef } from '../recipe/call.ts';
import type { Registry } from '../operators/registry.ts';
import { placed, type EmbedSpec, type Placed } from '../schemas/trainer.ts';
import type { Store } from '../store/store.ts';
import type { AnyReducer, Resolved } from './resolve.ts';
import type { StepContext } from './services.ts';
import { foldersOf, runFolder } from './train.ts';

/** Writes the texts. A run that goes on finds what it began with. */
export async function prepareEmbedding(store: Store, registry: Registry, resolved: Resolved, context: StepContext): Promise<EmbedSpec> {
  const { call, params, stepKey } = resolved;
  const { of, encoder } = call.inputs['inputs'] as { of: DatasetRef; encoder: ModelRef };
  const { texts, settings } = (registry.reducer(call.what) as AnyReducer).embeds!;
  const run = runFolder(store, stepKey);
  const rows = join(run, 'rows.jsonl');
  await mkdir(run, { recursive: true });
  async function* lines() {
    for await (const { value } of store.read(of)) yield `${JSON.stringify({ texts: texts(value as never, params) })}\n`;
  }
  await pipeline(lines, createWriteStream(`${rows}.partial`));
  await rename(`${rows}.partial`, rows);
  return {
    version: 1,
    model: await foldersOf(store, encoder),
    rows,
    run,
    ...settings(params),
    seed: context.seed + 1_000_003 * (call.round ?? 0), // afresh in each round
    threads: context.training.threads ?? cpus().length,
  };
}

/** For each record, in order, what the child said. */
export async function* placesIn(answers: string): AsyncIterable<Placed> {
  for await (const line of createInterface({ input: createReadStream(answers) })) yield placed.parse(JSON.parse(line));
}
