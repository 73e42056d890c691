/** Checks whether the trainer and the device groups of its pool can run a training. */
import type { Objective, Settings } from '../recipe/api.ts';
import type { StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { Machine } from '../steps/machine.ts';

/** Returns a sentence for a training that its trainer or its device groups refuse. Of a pool that has not been up yet, nothing is known. */
export function trainingFault(
  { verb, inputs, path }: StepCall,
  { training: { pool, shard, command } }: StepContext,
  machine: Pick<Machine, 'groups'>,
): string | undefined {
  if (verb !== 'train') return undefined;
  const settings = inputs as unknown as Settings<Objective>;
  const { objective, optimizer, batch, evaluate, loss, gamma, sft, lora, quantization, packing } = settings;
  if (command) return evaluate && `Step ${path}: a command measures held-out rows itself: leave \`evaluate\` out.`;
  if (gamma !== undefined && loss !== 'simpo') return `Step ${path}: \`gamma\` goes with \`loss: simpo\`: set that, or leave it out.`;
  if (objective === 'kto' && (loss ?? gamma ?? sft) !== undefined)
    return `Step ${path}: \`loss\`, \`gamma\` and \`sft\` are for pairs of answers, and the rows of \`kto\` are single ones: leave them out.`;
  if (sft !== undefined && loss === 'orpo') return `Step ${path}: \`loss: orpo\` has the whole SFT loss anyway: leave \`sft\` out.`;
  const groups = machine.groups(pool) ?? [];
  if (quantization === 'nf4' && !lora)
    return `Step ${path}: \`quantization: nf4\` is for the frozen base of an adapter: set \`lora\`, or leave it out.`;
  if (packing && objective === 'tagger') return `Step ${path}: rows of a tagger are not packed: leave \`packing\` out.`;
  const cuda = cudaOption(settings);
  if (cuda && groups.some((group) => group.length === 0))
    return `Step ${path}: \`${cuda}\` needs a CUDA device, and the pool "${pool}" has none in a group: leave it out, or name another pool.`;
  const whole = objective === 'tagger' ? 'a tagger' : optimizer === 'muon' ? 'a training with `optimizer: muon`' : undefined;
  if (shard === 'fsdp2' && whole)
    return `Step ${path}: \`shard: fsdp2\` under \`training\` cannot divide ${whole}, which takes whole matrices: leave it out.`;
  if (shard === 'fsdp2' && (quantization === 'nf4' || optimizer === 'adamw-8bit'))
    return `Step ${path}: \`shard: fsdp2\` under \`training\` cannot divide numbers of 8 or 4 bits, which bitsandbytes keeps whole: leave one of the two out.`;
  if (shard === 'fsdp2' && groups.some((group) => group.length < 2))
    return `Step ${path}: \`shard: fsdp2\` under \`training\` needs several devices in a group, and the pool "${pool}" has a group of ${groups.some((group) => group.length === 1) ? 'one' : 'none'}: start \`up\` with a group such as --pool ${pool}=cuda:0+1, or leave it out.`;
  const sharing = groups.find((group) => typeof batch === 'number' && batch % Math.max(group.length, 1) !== 0);
  return sharing
    ? `Step ${path}: its batch of ${batch as number} rows cannot be shared by the ${sharing.length} devices of a group of the pool "${pool}": make it a multiple.`
    : undefined;
}

/** The first setting that computes on CUDA devices alone. */
function cudaOption({ quantization, optimizer, attention, liger }: Settings<Objective>): string | undefined {
  if (quantization === 'nf4') return 'quantization: nf4';
  if (optimizer === 'adamw-8bit') return 'optimizer: adamw-8bit';
  if (attention !== undefined && attention !== 'sdpa') return `attention: ${attention}`;
  return liger ? 'liger: true' : undefined;
}
