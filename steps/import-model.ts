/** Imports models whose weights, or architecture and tokenizer, come from outside the store. */
import { mkdir, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { convertGguf, isGguf } from '../devices/gguf.ts';
import { runVerb } from '../devices/verb.ts';
import type { ModelRef } from '../schemas/call.ts';
import { canonicalJson } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { digestOf } from '../store/digests.ts';
import { modelFiles, PICKLED, PICKLED_INDEX, type Overrides } from '../store/models.ts';
import type { Store } from '../store/store.ts';
import { CHAT_TEMPLATE, templateIn, withSettings, type TemplateSettings } from './chat-template.ts';
import { GENERATION_CONFIG, withEndToken } from './end-token.ts';
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
  const before = { ...files, ...overrides };
  const changed = await changedFiles(resolved, before, join(store.work(resolved.stepKey), 'settings'));
  const result = await store.putModel(folder, { ...about, state: 'weights' }, { ...overrides, ...converted, ...changed });
  const digests = new Map((await store.model(result)).files.map(({ name, sha256 }) => [name, sha256]));
  for (const [name, path] of Object.entries(converted)) {
    if (path !== null) digests.delete(name);
    else digests.set(name, await digestOf(files[name]!));
  }
  for (const name of Object.keys(changed)) {
    const path = before[name];
    if (path) digests.set(name, await digestOf(path));
    else digests.delete(name);
  }
  if (isHubModel(resolved.call)) {
    for (const [name, path] of Object.entries(files)) if (!(name in overrides)) checkDownload(path, digests.get(name));
  } else checkUnchanged(folder, Object.fromEntries(digests), resolved);
  return result;
}

/** The Hub's cache names large files by their digests. */
function checkDownload(path: string, digest: string | undefined): void {
  if (/^[0-9a-f]{64}$/.test(basename(path)) && digest !== basename(path))
    throw new BackspinError(
      'ArtifactDamaged',
      `${path} does not hold what the Hub has: remove it and retry the step, which fetches it again.`,
    );
}

function checkUnchanged(path: string, digests: object, { files }: Resolved): void {
  if (canonicalJson(digests) !== canonicalJson(files))
    throw new BackspinError('ConfigError', `The files of ${path} changed while they were read: retry the step once they stay as they are.`);
}

async function importGguf(store: Store, resolved: Resolved, file: string, { 'model.gguf': _, ...overrides }: Overrides): Promise<ModelRef> {
  const to = join(store.work(resolved.stepKey), 'converted');
  await rm(to, { recursive: true, force: true });
  await convertGguf(file, to);
  const changed = await changedFiles(resolved, { ...(await modelFiles(to)), ...overrides }, join(store.work(resolved.stepKey), 'settings'));
  const result = await store.putModel(to, { ...about, state: 'weights' }, { ...overrides, ...changed });
  if (isHubModel(resolved.call)) {
    const blob = await realpath(file);
    checkDownload(blob, await digestOf(blob));
    return result;
  }
  const own = Object.entries(overrides).map(async ([name, path]) => [name, await digestOf(path!)] as const);
  checkUnchanged(file, { 'model.gguf': await digestOf(file), ...Object.fromEntries(await Promise.all(own)) }, resolved);
  return result;
}

/** The files that settings of the experiment file change, written to the folder `to`: the chat template, and the generation config with the
 *  end tokens. */
async function changedFiles({ call }: Resolved, files: Overrides, to: string): Promise<Files> {
  const { endToken } = call.inputs as TemplateSettings;
  const template = await templateIn(files);
  const set = template === undefined ? undefined : withSettings(template, call.inputs);
  const texts = {
    ...(set !== undefined && set !== template && { [CHAT_TEMPLATE]: set }),
    ...(endToken !== undefined && { [GENERATION_CONFIG]: canonicalJson(await withEndToken(files, endToken)) }),
  };
  await mkdir(to, { recursive: true });
  const written = Object.entries(texts).map(async ([name, text]) => {
    await writeFile(join(to, name), text);
    return [name, join(to, name)] as const;
  });
  return Object.fromEntries(await Promise.all(written));
}
type Files = Readonly<Record<string, string>>;

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
