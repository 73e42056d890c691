/** Tracks the models of a plan by digest, existing or not: their sizes, their templates and kinds, and whether the embedded engine supports
 *  them. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelRef, StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { TAGGER } from '../steps/checks.ts';
import { externalOf } from '../steps/external.ts';
import type { Store } from '../store/store.ts';
import { sizeOf, type Size } from './sizes.ts';
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

  /** Adds the model that a step trains or imports. */
  async add(call: StepCall, model: ModelRef): Promise<void> {
    if (call.verb === 'train') this.#templates.set(model.digest, (call.inputs as { template?: string }).template ?? null);
    const architecture = await this.#architectureOf(call);
    if (architecture) this.#architectures.set(model.digest, architecture);
    if (call.operation === 'tagger' || (call.operation === 'model:path' && existsSync(join(call.inputs['path'] as string, TAGGER))))
      this.#taggers.add(model.digest);
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

  isTagger({ digest }: ModelRef): boolean {
    return this.#taggers.has(digest);
  }

  /** Why the embedded engine cannot serve a model; undefined if it can. */
  unsupported({ digest }: ModelRef): string | undefined {
    const { model, architecture = 'of no stated architecture' } = this.#architectures.get(digest) ?? { architecture: LLAMA };
    return architecture === LLAMA ? undefined : `The model "${model}" is ${architecture}: the embedded engine serves ${LLAMA}.`;
  }

  /** Why no tagger can be trained from a model; undefined if the plan knows no reason. */
  untaggable({ digest }: ModelRef): string | undefined {
    const { model, architecture = '' } = this.#architectures.get(digest) ?? {};
    return GENERATIVE.test(architecture)
      ? `The model "${model}" is ${architecture}, which reads a sentence in one direction: a tagger is trained from an encoder, such as BERT.`
      : undefined;
  }

  async #architectureOf({ verb, operation, label, inputs }: StepCall): Promise<Architecture | undefined> {
    if (verb === 'train') return this.#architectures.get((inputs as { from: ModelRef }).from.digest);
    const model = label.slice('model-'.length);
    if (operation === 'model:init') return { model, architecture: LLAMA };
    if (operation !== 'model:path') return undefined;
    const { architectures = [] } = JSON.parse(await readFile(join(inputs['path'] as string, 'config.json'), 'utf8').catch(() => '{}')) as {
      architectures?: string[];
    };
    return { model, architecture: architectures.includes(LLAMA) ? LLAMA : architectures[0] };
  }
}

/** The name of a model in the experiment file, and its class in config.json. */
interface Architecture {
  readonly model: string;
  readonly architecture: string | undefined;
}
const LLAMA = 'LlamaForCausalLM';
/** Classes of models that write text. */
const GENERATIVE = /(ForCausalLM|LMHeadModel|ForConditionalGeneration)$/;
