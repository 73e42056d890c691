/** Imports models whose weights, or architecture and tokenizer, come from outside the store. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelRef } from '../schemas/call.ts';
import { canonicalJson } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import { importedFiles } from './input-files.ts';
import type { Resolved } from './resolved.ts';

/** Manifest entries that only a training sets. */
export const importedDefaults = {
  base: null,
  from: null,
  dataset: null,
  template: null,
  settings: null,
  steps: null,
  lastLearningRate: null,
} as const;

/** Copies a model folder into the store. For `init` copies only the architecture and the tokenizer; the first training makes the weights.
 *  Throws `ConfigError` if files changed since the step's key was computed. */
export async function importModel(store: Store, resolved: Resolved): Promise<ModelRef> {
  const about = { ...importedDefaults, determinism: 'exact' } as const;
  const { path, architecture, seed } = resolved.call.inputs as { path?: string; architecture?: object; seed?: number };
  const files = await importedFiles(resolved.call);
  if (path !== undefined) {
    const result = await store.putModel(path, { ...about, state: 'weights' }, files);
    const taken = (await store.model(result)).files.map(({ name, sha256 }) => [name, sha256] as const);
    if (canonicalJson(Object.fromEntries(taken)) === canonicalJson(resolved.files)) return result;
    throw new BackspinError('ConfigError', `The files of ${path} changed while they were read: retry the step once they stay as they are.`);
  }
  const made = join(store.work(resolved.stepKey), 'init');
  await rm(made, { recursive: true, force: true });
  await mkdir(made, { recursive: true });
  await writeFile(join(made, 'init.json'), canonicalJson({ architecture, seed }));
  const result = await store.putModel(made, { ...about, state: 'init' }, files);
  await store.clearWork(resolved.stepKey);
  return result;
}
