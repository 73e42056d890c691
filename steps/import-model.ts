/** Imports models whose weights, or architecture and tokenizer, come from outside the store. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { convertGguf, isGguf } from '../devices/gguf.ts';
import { runVerb } from '../devices/verb.ts';
import type { ModelRef } from '../schemas/call.ts';
import { canonicalJson } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { digestOf } from '../store/digests.ts';
import { modelFiles, PICKLED, PICKLED_INDEX, type Overrides } from '../store/models.ts';
import type { Store } from '../store/store.ts';
import { downloadModel, hubModelOf, isHubModel } from './hub-model.ts';
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
const about = { ...importedDefaults, determinism: 'exact' } as const;

/** Copies a model folder, or the files of a model on the Hub, into the store. For `init` copies only the architecture and the tokenizer; the
 *  first training makes the weights. Throws `ConfigError` if files changed since the step's key was computed, and `ArtifactDamaged` if a
 *  downloaded file is not what the Hub has. */
export async function importModel(store: Store, resolved: Resolved): Promise<ModelRef> {
  const { call, stepKey } = resolved;
  const { path, architecture, seed } = call.inputs as { path?: string; architecture?: object; seed?: number };
  const files = await importedFiles(call);
  if (path !== undefined || isHubModel(call)) {
    const result = await importFolder(store, resolved, path ?? (await downloadModel(hubModelOf(call))), files);
    await store.clearWork(stepKey);
    return result;
  }
  const made = join(store.work(stepKey), 'init');
  await rm(made, { recursive: true, force: true });
  await mkdir(made, { recursive: true });
  await writeFile(join(made, 'init.json'), canonicalJson({ architecture, seed }));
  const result = await store.putModel(made, { ...about, state: 'init' }, files);
  await store.clearWork(stepKey);
  return result;
}

async function importFolder(store: Store, resolved: Resolved, folder: string, overrides: Overrides): Promise<ModelRef> {
  if (isGguf(folder)) return importGguf(store, resolved, folder, overrides);
  const files = await modelFiles(folder);
  const converted = await safetensorsOf(files, join(store.work(resolved.stepKey), 'converted'));
  const result = await store.putModel(folder, { ...about, state: 'weights' }, { ...overrides, ...converted });
  const digests = new Map((await store.model(result)).files.map(({ name, sha256 }) => [name, sha256]));
  for (const [name, path] of Object.entries(converted)) {
    if (path !== null) digests.delete(name);
    else digests.set(name, await digestOf(files[name]!));
  }
  if (isHubModel(resolved.call)) {
    // The cache names large files by their digests.
    for (const [name, path] of Object.entries(files))
      if (/^[0-9a-f]{64}$/.test(basename(path)) && !(name in overrides) && digests.get(name) !== basename(path))
        throw new BackspinError(
          'ArtifactDamaged',
          `${path} does not hold what the Hub has: remove it and retry the step, which fetches it again.`,
        );
  } else checkUnchanged(folder, Object.fromEntries(digests), resolved);
  return result;
}

function checkUnchanged(path: string, digests: object, { files }: Resolved): void {
  if (canonicalJson(digests) !== canonicalJson(files))
    throw new BackspinError('ConfigError', `The files of ${path} changed while they were read: retry the step once they stay as they are.`);
}

async function importGguf(store: Store, resolved: Resolved, file: string, { 'model.gguf': _, ...overrides }: Overrides): Promise<ModelRef> {
  const to = join(store.work(resolved.stepKey), 'converted');
  await rm(to, { recursive: true, force: true });
  await convertGguf(file, to);
  const result = await store.putModel(to, { ...about, state: 'weights' }, overrides);
  const own = Object.entries(overrides).map(async ([name, path]) => [name, await digestOf(path!)] as const);
  checkUnchanged(file, { 'model.gguf': await digestOf(file), ...Object.fromEntries(await Promise.all(own)) }, resolved);
  return result;
}

/** Weights in PyTorch's pickle format, written as safetensors to the folder `to`; nothing for a model without such weights. */
async function safetensorsOf(files: Readonly<Record<string, string>>, to: string): Promise<Overrides> {
  const pickled = Object.keys(files).filter((name) => PICKLED.test(name));
  if (pickled.length === 0) return {};
  await rm(to, { recursive: true, force: true });
  await runVerb('convert', { files: pickled.toSorted().map((name) => files[name]!), to });
  const gone = [...pickled, ...(PICKLED_INDEX in files ? [PICKLED_INDEX] : [])].map((name) => [name, null] as const);
  const made = (await readdir(to)).map((name) => [name, join(to, name)] as const);
  return Object.fromEntries([...gone, ...made]);
}
