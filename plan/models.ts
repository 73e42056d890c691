/** Tracks the models of a plan by digest, existing or not: their sizes, their templates and kinds, and whether the embedded engine supports
 *  them. */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isGguf, smallFilesOf, weightBytesIn } from '../devices/gguf.ts';
import { CHAT_TEMPLATE, templateIn, withSettings, type TemplateSettings } from '../steps/chat-template.ts';
import type { CheckedModel } from '../devices/model-check.ts';
import type { ModelRef, StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { BackspinError } from '../schemas/errors.ts';
import { TAGGER } from '../steps/checks.ts';
import { externalOf } from '../steps/external.ts';
import { downloadModel, hubModelOf, isHubModel, lookUpModel } from '../steps/hub-model.ts';
import type { CheckSpec } from '../schemas/trainer.ts';
import { modelFiles } from '../store/models.ts';
import type { Store } from '../store/store.ts';
import { sizeOf, type ModelConfig, type Size } from './sizes.ts';
import { isReal } from './symbols.ts';

export class PlannedModels {
  readonly #store: Pick<Store, 'model'>;
  readonly #context: StepContext;
  readonly #sizes = new Map<string, Size>();
  readonly #templates = new Map<string, string | null>();
  readonly #architectures = new Map<string, Architecture>();
  readonly #taggers = new Set<string>();

  constructor(store: Pick<Store, 'model'>, context: StepContext) {
    this.#store = store;
    this.#context = context;
  }

  get sizes(): ReadonlyMap<string, Size> {
    return this.#sizes;
  }

  /** Adds the model that a step trains or imports. Returns a sentence if it is neither in the store nor on the Hub. */
  async add(call: StepCall, model: ModelRef): Promise<string | undefined> {
    if (call.verb === 'train') this.#templates.set(model.digest, (call.inputs as { template?: string }).template ?? null);
    const files = await this.#filesOf(call, model);
    const architecture = await this.#architectureOf(call, files);
    if (architecture) this.#architectures.set(model.digest, architecture);
    if (call.operation === 'tagger' || files?.isTagger) this.#taggers.add(model.digest);
    this.#sizes.set(model.digest, sizeOf(call, model, this.#sizes, files));
    return files?.fault;
  }

  /** Digest of the base weights of a model; for a model without an adapter, its own. */
  baseOf({ digest }: ModelRef): string {
    return this.#sizes.get(digest)!.base ?? digest;
  }

  /** The template that a model is trained with; null if there is none. */
  async templateOf(model: ModelRef): Promise<string | null> {
    if (isReal(model) && !externalOf(this.#context, model)) return (await this.#store.model(model)).template;
    return this.#templates.get(model.digest) ?? null;
  }

  /** The model from outside the store that a model descends from; undefined if its files are not here. */
  originOf({ digest }: ModelRef): CheckedModel | undefined {
    return this.#architectures.get(digest)?.origin;
  }

  isTagger({ digest }: ModelRef): boolean {
    return this.#taggers.has(digest);
  }

  /** Why the embedded engine cannot serve a model; undefined if it can. */
  unsupported({ digest }: ModelRef): string | undefined {
    const { model, architecture = 'of no stated architecture' } = this.#architectures.get(digest) ?? { architecture: LLAMA };
    return architecture === LLAMA ? undefined : `The model "${model}" is ${architecture}: the embedded engine serves ${LLAMA}.`;
  }

  async #architectureOf(call: StepCall, files: ModelFiles | undefined): Promise<Architecture | undefined> {
    const { verb, operation, label, inputs } = call;
    if (verb === 'train') return this.#architectures.get((inputs as { from: ModelRef }).from.digest);
    const model = label.slice('model-'.length);
    if (operation === 'model:init') {
      const init = inputs as unknown as NonNullable<CheckSpec['init']>;
      return { model, architecture: LLAMA, origin: { init, small: await modelFiles(init.tokenizer) } };
    }
    if (!files?.config || files.folder === undefined) return undefined;
    const { architectures = [] } = files.config;
    const all = Object.entries(await modelFiles(files.folder));
    const isWeights = (name: string) => /\.(safetensors|bin)$/.test(name);
    const origin: CheckedModel = {
      folder: files.folder,
      small: Object.fromEntries(all.filter(([name]) => !isWeights(name))),
      weights: Object.fromEntries(all.filter(([name]) => name.endsWith('.safetensors'))),
      chatTemplate: await replacedTemplate(Object.fromEntries(all), inputs),
      endToken: (inputs as TemplateSettings).endToken ?? null,
    };
    return { model, architecture: architectures.includes(LLAMA) ? LLAMA : architectures[0], origin };
  }

  /** Configuration and bytes of a model folder, or of a model on the Hub. */
  async #filesOf(call: StepCall, model: ModelRef): Promise<ModelFiles | undefined> {
    const { path } = call.inputs as { path?: string };
    if (path !== undefined && isGguf(path)) return ggufFiles(path);
    if (path !== undefined)
      return { folder: path, config: await configIn(path), bytes: await folderBytes(path), isTagger: existsSync(join(path, TAGGER)) };
    if (!isHubModel(call)) return undefined;
    const stored = isReal(model) ? (await this.#store.model(model)).files.reduce((sum, file) => sum + file.bytes, 0) : undefined;
    try {
      const { hub, commit, file } = hubModelOf(call);
      if (file !== undefined) return await ggufFiles(await downloadModel({ hub, commit, file }));
      const { folder, files, used } = await lookUpModel({ hub, revision: commit });
      const bytes = files.filter(({ name }) => used.includes(name)).reduce((sum, file) => sum + file.bytes, 0);
      return { folder, config: await configIn(folder), bytes: stored ?? bytes, isTagger: used.includes(TAGGER) };
    } catch (error) {
      if (!(error instanceof BackspinError)) throw error;
      return { config: undefined, bytes: stored ?? 0, ...(stored === undefined && { fault: `Step ${call.path}: ${error.message}` }) };
    }
  }
}

async function ggufFiles(file: string): Promise<ModelFiles> {
  const folder = await smallFilesOf(file);
  return { folder, config: await configIn(folder), bytes: await weightBytesIn(folder) };
}

interface ModelFiles {
  readonly folder?: string;
  /** undefined: an earlier launch has read it. */
  readonly config: ModelConfig | undefined;
  readonly bytes: number;
  readonly isTagger?: boolean;
  readonly fault?: string;
}
/** The name of a model in the experiment file, and its class in config.json. */
interface Architecture {
  readonly model: string;
  readonly architecture: string | undefined;
  readonly origin?: CheckedModel;
}
const LLAMA = 'LlamaForCausalLM';

const configIn = async (folder: string): Promise<ModelConfig> =>
  JSON.parse(await readFile(join(folder, 'config.json'), 'utf8').catch(() => '{}')) as ModelConfig;
async function folderBytes(folder: string): Promise<number> {
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((a, b) => a + b, 0);
}

/** The chat template that the import gives the model; null: its own. */
async function replacedTemplate(files: Readonly<Record<string, string>>, inputs: StepCall['inputs']): Promise<string | null> {
  const { chatTemplate } = inputs as { readonly chatTemplate?: string };
  const template = await templateIn({ ...files, ...(chatTemplate !== undefined && { [CHAT_TEMPLATE]: chatTemplate }) });
  return template === undefined ? null : withSettings(template, inputs);
}
