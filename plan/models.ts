/** Tracks the models of a plan by digest, existing or not: their sizes, their templates, and whether the embedded engine supports them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelRef, StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { externalOf } from '../steps/external.ts';
import type { Store } from '../store/store.ts';
import { sizeOf, type Size } from './sizes.ts';
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

  /** Adds the model that a step trains or imports. */
  async add(call: StepCall, model: ModelRef): Promise<void> {
    if (call.verb === 'train') this.#templates.set(model.digest, (call.inputs as { template?: string }).template ?? null);
    const reason = await this.#unsupportedReason(call);
    if (reason) this.#unsupported.set(model.digest, reason);
    this.#sizes.set(model.digest, await sizeOf(call, model, this.#sizes));
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

  async #unsupportedReason({ verb, operation, label, inputs }: StepCall): Promise<string | undefined> {
    if (verb === 'train') return this.unsupported((inputs as { from: ModelRef }).from);
    if (operation !== 'model:path') return undefined;
    const { architectures = [] } = JSON.parse(await readFile(join(inputs['path'] as string, 'config.json'), 'utf8').catch(() => '{}')) as {
      architectures?: string[];
    };
    if (architectures.includes('LlamaForCausalLM')) return undefined;
    const name = label.slice('model-'.length);
    return `The model "${name}" is ${architectures[0] ?? 'of no stated architecture'}: the embedded engine serves LlamaForCausalLM.`;
  }
}
