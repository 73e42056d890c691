/** Computes the size of models in the store from their architecture, before they exist. */
import type { Settings } from '../recipe/api.ts';
import type { StepCall, ModelRef } from '../schemas/call.ts';

/** The architecture of a Llama; other architectures share some of the fields. A `vocabulary` of 0: the size of the model is unknown, as that of a
 *  mixture of experts. */
export type Architecture = { readonly [K in 'hiddenSize' | 'layers' | 'heads' | 'headSize' | 'kvHeads' | 'mlp' | 'vocabulary']: number } & {
  /** Input and output embeddings are one matrix. */
  readonly tied: boolean;
};

/** Bytes and architecture of a model's base weights, and for an adapter the digest of its base. */
export interface Size {
  readonly whole: number;
  readonly shape: Architecture;
  readonly base: string | null;
}
/** Sizes by digest. */
export type Sizes = ReadonlyMap<string, Size>;

/** Bytes that the step adds to the store for its model. */
export function bytesOfModel(call: StepCall, result: ModelRef, sizes: Sizes): number {
  const { whole, shape, base } = sizes.get(result.digest)!;
  if (base === null) return whole;
  return 4 * adapterParameters((call.inputs as unknown as Settings).lora!, shape) + (base === mergedBase(result) ? whole : 0);
}

/** The config.json of a model. */
export type ModelConfig = Readonly<Record<string, unknown>> & { readonly architectures?: readonly string[] };

/** The size of the model that a training or an import produces. `sizes` holds the model that a training starts from, `files` describes a
 *  model that is imported as it is. */
export function sizeOf(
  call: StepCall,
  result: ModelRef,
  sizes: Sizes,
  files?: { readonly config: ModelConfig | undefined; readonly bytes: number },
): Size {
  if (call.verb === 'train') {
    const { from, lora, adapter } = call.inputs as unknown as Settings & { from: ModelRef };
    const size = sizes.get(from.digest)!;
    const base = size.base === null ? from.digest : adapter === 'merge' ? mergedBase(result) : size.base;
    return { ...size, base: lora && base };
  }
  const { architecture } = call.inputs as { architecture?: Omit<Architecture, 'vocabulary'> };
  const shape = architecture && { ...architecture, vocabulary: 0 };
  if (shape) return { whole: parameters(shape) * 4, shape, base: null };
  if (files) return { whole: files.bytes, shape: shapeFrom(files.config ?? {}), base: null };
  return { whole: 0, shape: shapeFrom({}), base: null }; // external
}
/** A name for the base weights of a training that first merges an adapter. */
const mergedBase = ({ digest }: ModelRef) => `base of ${digest}`;

function shapeFrom(config: ModelConfig): Architecture {
  const of = (name: string, otherwise = 0) => (config[name] as number | undefined) ?? otherwise;
  const [hiddenSize, heads] = [of('hidden_size'), of('num_attention_heads', 1)];
  return {
    hiddenSize,
    layers: of('num_hidden_layers'),
    heads,
    headSize: of('head_dim', hiddenSize / heads),
    kvHeads: of('num_key_value_heads', heads),
    mlp: of('intermediate_size'),
    vocabulary: Object.keys(config).some((key) => key.includes('expert')) ? 0 : of('vocab_size'),
    tied: config['tie_word_embeddings'] === true,
  };
}

/** Rows and columns of each weight matrix of a layer. */
const weightShapes = ({ hiddenSize, heads, headSize, kvHeads, mlp }: Architecture) => ({
  q_proj: [heads * headSize, hiddenSize],
  k_proj: [kvHeads * headSize, hiddenSize],
  v_proj: [kvHeads * headSize, hiddenSize],
  o_proj: [hiddenSize, heads * headSize],
  gate_proj: [mlp, hiddenSize],
  up_proj: [mlp, hiddenSize],
  down_proj: [hiddenSize, mlp],
});
/** Of one layer. */
export const layerParameters = (shape: Architecture): number =>
  Object.values(weightShapes(shape)).reduce((sum, [rows, columns]) => sum + rows! * columns!, 0);
/** Of all layers and of the embeddings, whose size depends on the tokenizer. */
export const parameters = (shape: Architecture): number =>
  shape.layers * layerParameters(shape) + shape.vocabulary * shape.hiddenSize * (shape.tied ? 1 : 2);
/** Of an adapter: `rank` rows and `rank` columns for each matrix. */
export const adapterParameters = ({ rank, targets }: NonNullable<Settings['lora']>, shape: Architecture): number => {
  const targeted = Object.entries(weightShapes(shape)).filter(([name]) => targets?.includes(name) ?? true);
  return rank * shape.layers * targeted.reduce((sum, [, [rows, columns]]) => sum + rows! + columns!, 0);
};
