/** Tracks the models of a plan by digest, existing or not: their sizes, their templates, and whether the embedded engine supports them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelRef, StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { BackspinError } from '../schemas/errors.ts';
import { externalOf } from '../steps/external.ts';
import { hubModelOf, isHubModel, lookUpModel } from '../steps/hub-model.ts';
import type { Store } from '../store/store.ts';
import { sizeOf, type ModelConfig, type Size } from './sizes.ts';
import { isReal } from './symbols.ts';

export class PlannedModels {
  readonly #store: Pick<Store, 'model'>;
  readonly #context: StepContext;
  readonly #sizes = new Map<string, Size>();
  readonly #templates = new Map<string, string | null>();
  readonly #unsupported = new Map<string, string>();

  constructor(store: Pick<Store, 'model'>, context: StepContext) {
    this.#store = store;
    this.#context = context;
  }

  get sizes(): ReadonlyMap<string, Size> {
    return this.#sizes;
  }

  /** Adds the model that a step trains or imports. Returns a sentence if it is neither in the store nor on the Hub. */
  async add(call: StepCall, model: ModelRef): Promise<string | undefined> {
    if (call.verb === 'train') {
      this.#templates.set(model.digest, (call.inputs as { template?: string }).template ?? null);
      const reason = this.unsupported((call.inputs as { from: ModelRef }).from);
      if (reason) this.#unsupported.set(model.digest, reason);
    }
    const files = await this.#filesOf(call, model);
    const reason = files?.config && unsupportedReason(call, files.config);
    if (reason) this.#unsupported.set(model.digest, reason);
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

  /** Why the embedded engine cannot serve a model; undefined if it can. */
  unsupported({ digest }: ModelRef): string | undefined {
    return this.#unsupported.get(digest);
  }

  /** Configuration and bytes of a model folder, or of a model on the Hub. */
  async #filesOf(call: StepCall, model: ModelRef): Promise<ModelFiles | undefined> {
    const { path } = call.inputs as { path?: string };
    if (path !== undefined) return { config: await configIn(path), bytes: await folderBytes(path) };
    if (!isHubModel(call)) return undefined;
    const stored = isReal(model) ? (await this.#store.model(model)).files.reduce((sum, file) => sum + file.bytes, 0) : undefined;
    try {
      const { hub, commit } = hubModelOf(call);
      const { folder, files, used } = await lookUpModel({ hub, revision: commit });
      const bytes = files.filter(({ name }) => used.includes(name)).reduce((sum, file) => sum + file.bytes, 0);
      return { config: await configIn(folder), bytes: stored ?? bytes };
    } catch (error) {
      if (!(error instanceof BackspinError)) throw error;
      return { config: undefined, bytes: stored ?? 0, ...(stored === undefined && { fault: `Step ${call.path}: ${error.message}` }) };
    }
  }
}

interface ModelFiles {
  /** undefined: an earlier launch has read it. */
  readonly config: ModelConfig | undefined;
  readonly bytes: number;
  readonly fault?: string;
}
const configIn = async (folder: string): Promise<ModelConfig> =>
  JSON.parse(await readFile(join(folder, 'config.json'), 'utf8').catch(() => '{}')) as ModelConfig;
async function folderBytes(folder: string): Promise<number> {
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((a, b) => a + b, 0);
}

function unsupportedReason({ label }: StepCall, { architectures }: ModelConfig): string | undefined {
  if (architectures?.includes('LlamaForCausalLM')) return undefined;
  const name = label.slice('model-'.length);
  return `The model "${name}" is ${architectures?.[0] ?? 'of no stated architecture'}: the embedded engine serves LlamaForCausalLM.`;
}
