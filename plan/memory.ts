/** Estimates the memory of a training on one device, before anything runs. The bench `training` compares it with measured peaks. */
import type { Objective, Settings } from '../recipe/api.ts';
import type { StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { size } from '../schemas/units.ts';
import type { Machine } from '../steps/machine.ts';
import { adapterParameters, layerParameters, parameters, type Architecture } from './sizes.ts';

/** A training as it runs on one device. */
export interface Training {
  readonly shape: Architecture;
  readonly settings: Pick<Settings<Objective>, 'objective' | 'lora' | 'maxTokens' | 'optimizer' | 'quantization'>;
  /** Rows that the device computes at once; a preference counts once. */
  readonly rows: number;
  /** A step adds up the gradients of several micro-batches. */
  readonly accumulates: boolean;
  /** Devices that share it. */
  readonly devices: number;
  readonly shard: 'none' | 'fsdp2';
  /** `cuda`: computes in bf16 with gradient checkpointing. `cpu`: computes in fp32 and keeps all activations. */
  readonly device: 'cuda' | 'cpu';
}

/** Bytes of one device. */
export interface Memory {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** At the worst moment of a step, with whatever else is only there for a while. */
  readonly activations: number;
  /** The libraries. */
  readonly runtime: number;
  readonly total: number;
}

const FP32 = 4;
const BF16 = 2;
/** 4 bits, and the scale of each 64 numbers in 8. */
const NF4 = 0.52;
/** The Python process with all libraries; on a CUDA device its context and what its allocator cannot use. */
const RUNTIME = { cpu: 0.89e9, cuda: 1.0e9 };
/** Logits that the trainer computes at once. */
const CHUNK = { cpu: 2 ** 23, cuda: 2 ** 25 };

export function memoryOf(training: Training): Memory {
  const { shape, settings, accumulates, devices, shard, device } = training;
  const all = parameters(shape);
  const adapter = settings.lora ? adapterParameters(settings.lora, shape) : 0;
  const trained = settings.lora ? adapter : all;
  const frozen = settings.lora ? all : 0;
  const share = shard === 'fsdp2' ? devices : 1;
  // Embeddings and head stay as they are.
  const quantized = settings.lora && settings.quantization === 'nf4' ? shape.layers * layerParameters(shape) : 0;
  const weights = (trained * FP32 + quantized * NF4 + (frozen - quantized) * (device === 'cuda' ? BF16 : FP32)) / share;
  // Data parallelism sends gradients in buckets beside them.
  const gradients = (trained * FP32 * (shard === 'none' && devices > 1 ? 2 : 1)) / share;
  const states = { muon: 1.2, 'adamw-8bit': 0.5, adamw: 2 }[settings.optimizer ?? 'adamw'];
  const optimizer = (trained * FP32 * states) / share;
  const gathered = shard === 'fsdp2' ? gatheredBytes(training) : 0;
  // Autocast keeps copies of the trained weights until the end of the forward pass.
  const copies = device === 'cuda' && shard === 'none' ? trained * BF16 : 0;
  const forward = activationBytes(training) + copies + (accumulates ? gradients : 0);
  const backward = gradients + layerBytes(training);
  const activations = Math.max(forward, backward) - gradients + gathered;
  const runtime = RUNTIME[device];
  return { weights, gradients, optimizer, activations, runtime, total: weights + gradients + optimizer + activations + runtime };
}

/** Sequences of a micro-batch times their tokens. */
const tokensOf = ({ rows, settings: { objective, maxTokens } }: Training): number =>
  rows * (['dpo', 'token-dpo', 'kto'].includes(objective) ? 2 : 1) * maxTokens;

/** What the backward pass needs of one token in one layer, in numbers: inputs of the norms and of the linear layers, queries, keys and values,
 *  the output of the attention, the four widths of the gated MLP, and what an adapter adds to each linear layer. */
function numbersOf({ hiddenSize, heads, headSize, kvHeads, mlp }: Architecture, lora: object | null): number {
  const [queries, keys] = [heads * headSize, kvHeads * headSize];
  const outputs = lora ? queries + 2 * keys + 2 * mlp + 2 * hiddenSize : 0;
  return 6 * hiddenSize + 3 * queries + 2 * keys + 4 * mlp + outputs;
}

/** One layer of all tokens, and what its backward pass holds for a while. */
function layerBytes(training: Training): number {
  const { shape, settings, device } = training;
  return tokensOf(training) * (device === 'cuda' ? BF16 : FP32) * (numbersOf(shape, settings.lora) + 2 * shape.mlp);
}

/** At the end of the forward pass: all layers, or their inputs and one layer; and the logits of a chunk, with their gradients. */
function activationBytes(training: Training): number {
  const { shape, settings, device } = training;
  const tokens = tokensOf(training);
  const hidden = tokens * shape.hiddenSize;
  const logits = Math.min(CHUNK[device], tokens * shape.vocabulary) * (device === 'cuda' ? 14 : 12);
  const head = settings.lora ? 0 : shape.vocabulary * shape.hiddenSize * FP32; // its gradient, before it is added
  if (device === 'cpu') return tokens * FP32 * numbersOf(shape, settings.lora) * shape.layers + 4 * hidden * FP32 + logits + head;
  // The residual stream has the precision of the weights.
  const inputs = hidden * shape.layers * (settings.lora || training.shard === 'fsdp2' ? BF16 : FP32);
  return inputs + Math.max(layerBytes(training), logits + head + 4 * hidden * FP32);
}

/** What FSDP2 holds of other devices' shards: two layers, the head, and the gradients of a layer and of the head. */
function gatheredBytes({ shape, settings, device }: Training): number {
  const bytes = device === 'cuda' ? BF16 : FP32;
  const layer = layerParameters(shape);
  const head = shape.vocabulary * shape.hiddenSize; // embeddings of their own are gathered when little else is there
  const gradients = settings.lora ? 0 : (layer + head) * (bytes + FP32);
  return (2 * layer + head) * bytes + gradients;
}

/** Returns a sentence for a training that even one row at a time will not fit on the devices of its pool, as far as one can know before; undefined
 *  if it will, if the pool has not been up yet, or if the model's size is unknown. */
export function memoryWarning(
  { path, inputs }: StepCall,
  { training: { pool, shard = 'none', command } }: StepContext,
  machine: Pick<Machine, 'groups'>,
  shape: Architecture | undefined,
): string | undefined {
  const [group] = machine.groups(pool) ?? [];
  if (!group || group.length === 0 || command || !shape?.vocabulary) return undefined;
  const settings = inputs as unknown as Settings<Objective>;
  const given = { shape, settings, rows: 1, accumulates: true, devices: group.length, shard, device: 'cuda' } as const;
  const { total } = memoryOf(given);
  const least = Math.min(...group);
  if (total <= least) return undefined;
  const remedies = [
    ...(settings.lora ? [] : ['train an adapter (`lora`)']),
    ...(settings.lora && settings.quantization !== 'nf4' && shard === 'none' ? ['hold its base in 4 bits (`quantization: nf4`)'] : []),
    ...(shard === 'none' ? ['divide it among the devices of a group (`shard: fsdp2` under `training`)'] : ['name more devices in a group']),
    'lower `maxTokens`',
  ];
  return `Step ${path} needs about ${size(total)} on each device even if it computes one row at a time, and the devices of the pool "${pool}" have ${size(least)}: ${remedies.join(', or ')}.`;
}
