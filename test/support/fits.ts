/** The table of docs/training.md that says which trainings fit which devices. */
import { memoryOf } from '../../plan/memory.ts';
import type { Architecture } from '../../plan/sizes.ts';

const llama = { headSize: 128, kvHeads: 8, tied: false } as const;
const qwen = { ...llama, vocabulary: 152_064 } as const;
/** From the models' config.json. */
export const models: Readonly<Record<string, Architecture>> = {
  'SmolLM2-1.7B': { hiddenSize: 2048, layers: 24, heads: 32, headSize: 64, kvHeads: 32, mlp: 8192, vocabulary: 49_152, tied: true },
  'Llama-3.2-3B': { ...llama, hiddenSize: 3072, layers: 28, heads: 24, mlp: 8192, vocabulary: 128_256, tied: true },
  'Qwen2.5-7B': { ...qwen, hiddenSize: 3584, layers: 28, heads: 28, kvHeads: 4, mlp: 18_944 },
  'Llama-3.1-8B': { ...llama, hiddenSize: 4096, layers: 32, heads: 32, mlp: 14_336, vocabulary: 128_256 },
  'Qwen2.5-14B': { ...qwen, hiddenSize: 5120, layers: 48, heads: 40, mlp: 13_824 },
  'Qwen2.5-32B': { ...qwen, hiddenSize: 5120, layers: 64, heads: 40, mlp: 27_648 },
  'Llama-3.1-70B': { ...llama, hiddenSize: 8192, layers: 80, heads: 64, mlp: 28_672, vocabulary: 128_256 },
};
const trainings = { 'all weights': null, adapter: { rank: 16, alpha: 32 } } as const;
/** GB of cards, of which a hundredth is not there. */
const CARDS = [24, 40, 80];

/** GB of each device, and the smallest card that has them; for SFT of rows of 2,048 tokens, one at a time. */
export function fitsTable(): string {
  const rows = Object.entries(models).flatMap(([name, shape]) =>
    Object.entries(trainings).map(([trained, lora]) => {
      const cells = [1, 4, 8].map((devices) => {
        const shard = devices > 1 ? 'fsdp2' : 'none';
        const settings = { objective: 'sft', lora, maxTokens: 2048 } as const;
        const { total } = memoryOf({ shape, settings, rows: 1, accumulates: true, devices, shard, device: 'cuda' });
        const card = CARDS.find((gigabytes) => total < 0.99 * gigabytes * 1e9);
        return `${Math.ceil(total / 1e9)} (${card ?? '–'})`;
      });
      return `| ${name} | ${trained} | ${cells.join(' | ')} |`;
    }),
  );
  return ['| model | trains | 1 device | 4 devices, fsdp2 | 8 devices, fsdp2 |', '|---|---|--:|--:|--:|', ...rows].join('\n');
}
