/** Imports models whose weights, or architecture and tokenizer, come from outside the store. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { convertGguf, isGguf } from '../devices/gguf.ts';
import { runVerb } from '../devices/verb.ts';
import type { ModelRef } from '../schemas/call.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { digestOf } from '../store/digests.ts';
import { modelFiles, PICKLED, PICKLED_INDEX, type Overrides } from '../store/models.ts';
import type { Store } from '../store/store.ts';
import { CHAT_TEMPLATE, templateIn, withSettings, type TemplateSettings } from './chat-template.ts';
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
  const argued = await arguedTemplate(resolved, { ...files, ...overrides }, join(store.work(resolved.stepKey), 'template'));
  const result = await store.putModel(folder, { ...about, state: 'weights' }, { ...overrides, ...converted, ...argued.overrides });
  const digests = new Map((await store.model(result)).files.map(({ name, sha256 }) => [name, sha256]));
  for (const [name, path] of Object.entries(converted)) {
    if (path !== null) digests.delete(name);
    else digests.set(name, await digestOf(files[name]!));
  }
  if (argued.before !== null) digests.delete(CHAT_TEMPLATE);
  if (argued.before) digests.set(CHAT_TEMPLATE, argued.before);
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

/** The chat template with the settings of the experiment file, written to the folder `to`. `before`: the digest of the file that it
 *  replaces; undefined: there is no such file; null: there are no settings. */
async function arguedTemplate({ call }: Resolved, files: Overrides, to: string) {
  const { chatTemplateArguments, system } = call.inputs as TemplateSettings;
  const template = (chatTemplateArguments ?? system) === undefined ? undefined : await templateIn(files);
  if (template === undefined) return { overrides: {}, before: null };
  await mkdir(to, { recursive: true });
  const path = join(to, CHAT_TEMPLATE);
  await writeFile(path, withSettings(template, call.inputs));
  return { overrides: { [CHAT_TEMPLATE]: path }, before: files[CHAT_TEMPLATE] === undefined ? undefined : sha256(template) };
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
