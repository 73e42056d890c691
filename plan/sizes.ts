/** Bytes of models in the store, computed from their architecture before they exist. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../recipe/api.ts';
import type { StepCall, ModelRef } from '../schemas/call.ts';

/** Of a Llama; of other architectures the fields that have the same names. */
type Architecture = { readonly [K in 'hiddenSize' | 'layers' | 'heads' | 'headSize' | 'kvHeads' | 'mlp']: number };

/** Of a model: bytes and architecture of the whole weights that serve it, and for an adapter the digest of those weights. */
export interface Size {
  readonly whole: number;
  readonly shape: Architecture;
  readonly base: string | null;
}
/** By digest. */
export type Sizes = ReadonlyMap<string, Size>;

/** Bytes that the step which produces this model adds to the store. */
export function bytesOfModel(call: StepCall, result: ModelRef, sizes: Sizes): number {
  const { whole, shape, base } = sizes.get(result.digest)!;
  if (base === null) return whole;
  return adapterBytes((call.inputs as unknown as Settings).lora!, shape) + (base === merged(result) ? whole : 0);
}

/** Of the model that a training or an import produces. `sizes` holds the model that the training starts from. */
export async function sizeOf(call: StepCall, result: ModelRef, sizes: Sizes): Promise<Size> {
  if (call.verb === 'train') {
    const { from, lora, adapter } = call.inputs as unknown as Settings & { from: ModelRef };
    const size = sizes.get(from.digest)!;
    const base = size.base === null ? from.digest : adapter === 'merge' ? merged(result) : size.base;
    return { ...size, base: lora && base };
  }
  const { path, architecture } = call.inputs as { path?: string; architecture?: Architecture };
  if (architecture) return { whole: parameters(architecture) * 4, shape: architecture, base: null };
  if (path !== undefined) return { whole: await folderBytes(path), shape: await shapeOf(path), base: null };
  return { whole: 0, shape: shapeIn({}), base: null }; // external
}
/** A name for the whole weights of a training that merges an adapter first. */
const merged = ({ digest }: ModelRef) => `base of ${digest}`;

async function folderBytes(folder: string): Promise<number> {
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((a, b) => a + b, 0);
}
const shapeOf = async (folder: string): Promise<Architecture> =>
  shapeIn(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, number | undefined>);
function shapeIn(config: Record<string, number | undefined>): Architecture {
  const of = (name: string, otherwise = 0) => config[name] ?? otherwise;
  const [hiddenSize, heads] = [of('hidden_size'), of('num_attention_heads', 1)];
  return {
    hiddenSize,
    layers: of('num_hidden_layers'),
    heads,
    headSize: of('head_dim', hiddenSize / heads),
    kvHeads: of('num_key_value_heads', heads),
    mlp: of('intermediate_size'),
  };
}

/** Rows and columns of each matrix of a layer. */
const matrices = ({ hiddenSize, heads, headSize, kvHeads, mlp }: Architecture) => ({
  q_proj: [heads * headSize, hiddenSize],
  k_proj: [kvHeads * headSize, hiddenSize],
  v_proj: [kvHeads * headSize, hiddenSize],
  o_proj: [hiddenSize, heads * headSize],
  gate_proj: [mlp, hiddenSize],
  up_proj: [mlp, hiddenSize],
  down_proj: [hiddenSize, mlp],
});
/** Without the embedding, whose size depends on the tokenizer. */
const parameters = (shape: Architecture): number =>
  shape.layers * Object.values(matrices(shape)).reduce((sum, [rows, columns]) => sum + rows! * columns!, 0);
/** An adapter has `rank` rows and `rank` columns for each matrix. */
const adapterBytes = ({ rank, targets }: NonNullable<Settings['lora']>, shape: Architecture): number => {
  const targeted = Object.entries(matrices(shape)).filter(([name]) => targets?.includes(name) ?? true);
  return 4 * rank * shape.layers * targeted.reduce((sum, [, [rows, columns]]) => sum + rows! + columns!, 0);
};
