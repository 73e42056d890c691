/** Binds the models of an experiment file: resolves names on the Hub, and checks model folders. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { smallFilesOf } from '../devices/gguf.ts';
import type { BoundConfig, RecipeSchema } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { External } from '../schemas/external.ts';
import type { experimentFile } from '../schemas/file.ts';
import type { Source } from '../schemas/yaml.ts';
import type { TemplateSettings } from '../steps/chat-template.ts';
import { downloadModel, lookUpModel, type HubModelName } from '../steps/hub-model.ts';
import { resolveName, type Launched } from './hub-names.ts';
import {
  chatFault,
  encoderFault,
  endTokenFault,
  FOLDER_OF_GGUF,
  ggufIn,
  modelFault,
  repositoryFault,
  tokenizerFault,
  unreadArguments,
} from './model-folder.ts';

type Models = z.output<typeof experimentFile>['models'];
type Written = Models[string];
type Bound = BoundConfig['models'][string];

interface Binding {
  /** Where relative paths start. */
  readonly folder: string;
  readonly recipe: RecipeSchema | undefined;
  readonly launched: Launched;
}

/** Reports every fault that can be seen before the weights are there. */
export async function bindModels(source: Source, models: Models, binding: Binding): Promise<BoundConfig['models']> {
  const bound = Object.keys(models).map(async (name) => [name, await bindModel(source, models, name, binding)] as const);
  return Object.fromEntries(await Promise.all(bound));
}

async function bindModel(source: Source, models: Models, name: string, { folder, recipe, launched }: Binding): Promise<Bound> {
  const model = models[name]!;
  if (typeof model === 'object' && 'external' in model) {
    const twin = Object.entries(models).find(([, other]) => isSameExternal(other, model.external))![0];
    if (twin !== name)
      source.problem(['models', name, 'external'], `is model and revision of models.${twin} too; one model has one server here`);
    return { external: bindExternal(model.external, folder) };
  }
  if (typeof model === 'object' && 'init' in model) {
    const tokenizer = resolve(folder, model.init.tokenizer);
    const fault = tokenizerFault(tokenizer);
    if (fault) source.problem(['models', name, 'init', 'tokenizer'], fault);
    return { init: { ...model.init, tokenizer } };
  }
  const named: Named = typeof model === 'string' ? spellOut(model, folder) : model;
  const file = named.chatTemplate === undefined ? undefined : resolve(folder, named.chatTemplate);
  const encodes = recipe?.models[name]?.endsWith('encoder') ?? false;
  const { bound, place, fault } = 'hub' in named ? await bindHub(named, launched, encodes) : await bindFolder(named.path, folder, encodes);
  const { chatTemplateArguments: values, system, endToken } = named;
  const mute = fault || encodes || place === undefined ? undefined : chatFault(place, file, 'hub' in named, named);
  const at = (key: string) => ['models', name, ...(typeof model === 'string' ? [] : [key])];
  const key = 'hub' in named ? 'hub' : 'path';
  const nor = typeof model === 'string' && 'hub' in named ? ` There is no folder ${resolve(folder, model)} either.` : '';
  if (fault) source.problem(at(key), `${fault}${nor}`);
  const unread = encodes ? Object.keys(values ?? {}) : place === undefined ? [] : unreadArguments(place, file, values);
  for (const variable of fault ? [] : unread)
    source.problem(
      ['models', name, 'chatTemplateArguments', variable],
      encodes ? 'an encoder has no chat template' : `the chat template ${file ?? `in ${place}`} does not read this variable`,
      'key',
    );
  if (encodes && system !== undefined) source.problem(['models', name, 'system'], 'an encoder has no chat template', 'key');
  const endless =
    endToken === undefined || fault ? undefined : encodes ? 'an encoder ends no turn' : place && endTokenFault(place, endToken);
  if (endless) source.problem(['models', name, 'endToken'], endless);
  if (mute) source.problem(at(file === undefined ? key : 'chatTemplate'), mute);
  return {
    ...bound,
    ...(file !== undefined && { chatTemplate: file }),
    ...(values && { chatTemplateArguments: values }),
    ...(system !== undefined && { system }),
    ...(endToken !== undefined && { endToken }),
  };
}

/** `place`: the folder with the tokenizer's files. */
interface Checked {
  readonly bound: Bound;
  readonly place?: string | undefined;
  readonly fault?: string | undefined;
}

async function bindFolder(written: string, folder: string, encodes: boolean): Promise<Checked> {
  const path = resolve(folder, written);
  const files = ggufIn(path);
  if (files.length > 1)
    return { bound: { path }, fault: `${path} holds ${files.length} GGUF files; give one of them: ${files.join(', ')}` };
  if (files.length === 1) return bindGguf(files[0]!, encodes);
  const fault = encodes ? encoderFault(path) : modelFault(path);
  const isName = isMissing(path) && HUB_NAME.test(written) && written.includes('/');
  return { bound: { path }, place: path, fault: fault && isName ? `${fault}, or { hub: ${written} } for a model on the Hub` : fault };
}

async function bindGguf(path: string, encodes: boolean): Promise<Checked> {
  const bound = { path };
  if (isMissing(path)) return { bound, fault: `there is no file ${path}` };
  if (encodes) return { bound, fault: `${path} is a GGUF file, and an encoder is a folder; ${FOLDER_OF_GGUF}` };
  try {
    const place = await smallFilesOf(path);
    return { bound, place, fault: tokenizerFault(place) };
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    return { bound, fault: error.message };
  }
}

async function bindHub({ hub, revision, ...rest }: HubModelName, launched: Launched, encodes: boolean): Promise<Checked> {
  try {
    const name = { kind: 'model', repository: hub, revision } as const;
    const file = rest.file === undefined ? {} : { file: rest.file };
    const found = await resolveName(name, launched, (at) => lookUpModel({ ...file, hub, revision: at }));
    const bound = { hub, revision, commit: found.commit, ...file };
    if (!('used' in found)) return { bound };
    if (rest.file !== undefined) return { ...(await bindGguf(await downloadModel(bound), encodes)), bound };
    const fault = repositoryFault(hub, found, encodes);
    const partial = `only a part of ${hub} is in the Hub's cache (${found.folder}), and the Hub cannot be asked for the rest`;
    return { bound, place: found.folder, fault: fault && !found.listed ? partial : fault };
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    return { bound: { hub, revision, commit: '' }, fault: error.message };
  }
}

const HUB_NAME = /^\w[\w.-]*(\/\w[\w.-]*)?$/;
const isMissing = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) === undefined;

type Named = ({ readonly path: string } | HubModelName) & { readonly chatTemplate?: string } & TemplateSettings;
/** A text is a folder where there is one, else a name on the Hub if it can be one. */
const spellOut = (text: string, folder: string): Named =>
  isMissing(resolve(folder, text)) && HUB_NAME.test(text) ? { hub: text, revision: 'main' } : { path: text };

const isSameExternal = (other: Written, { model, revision }: External): boolean =>
  typeof other === 'object' && 'external' in other && other.external.model === model && other.external.revision === revision;

/** Removes the /v1 that OpenAI clients append, and makes the path of the key file absolute. */
function bindExternal(external: External, folder: string): External {
  const { url, key } = external;
  const file = key !== null && 'file' in key ? { file: resolve(folder, key.file) } : key;
  return { ...external, url: url.replace(/\/+$/, '').replace(/\/v1$/, ''), key: file };
}
