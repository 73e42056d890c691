/** What models were asked about a record in a step, as far as it can still be said. */
import type { Rec } from '../recipe/define.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { Output } from '../schemas/store.ts';
import { batchesFolder } from '../steps/batch-files.ts';
import { EarlierReplies } from '../steps/journal.ts';
import type { Registry } from '../steps/registry.ts';
import { exchangesOf, type Exchange } from '../steps/replay.ts';
import type { Store } from '../store/store.ts';

export interface Asked {
  /** Id of the source record. */
  readonly source: string;
  readonly exchanges: readonly Exchange[];
  /** Definitions whose version is another one now: their prompts may have been others. */
  readonly changed: readonly string[];
}

/** Returns null if the step asked nothing, or if its operators cannot be run any more. */
export async function askedAbout(
  store: Store,
  registry: Registry,
  { config }: ExperimentRecord,
  output: Output,
  source: Rec<unknown>,
): Promise<Asked | null> {
  const { seed } = config as BoundConfig;
  await store.shared?.pull(batchesFolder(store, output.stepKey));
  const journals = new EarlierReplies(batchesFolder(store, output.stepKey), '');
  try {
    const replies = (call: string) => journals.reply(call)?.reply;
    const exchanges = await exchangesOf(source, { store, registry, seed, output, replies });
    const changed = Object.entries(output.versions).flatMap(([id, version]) => (registry.version(id) === version ? [] : [id]));
    return exchanges.length === 0 ? null : { source: source.id, exchanges, changed };
  } catch (error) {
    if (error instanceof BackspinError) return null; // an operator or a prompt is gone, or its parameters are others
    throw error;
  }
}
