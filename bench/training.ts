/** `training`: compares trainings by backspin's trainer and by TRL's, on the same batch of the same random model, on a GPU if there is one, else on the CPU; and the memory
 *  that `plan` estimates for them with the peaks. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pythonOf, trainerEnvironment } from '../devices/python.ts';
import { memoryOf } from '../plan/memory.ts';
import type { TrainSpec } from '../schemas/trainer.ts';
import { baseFolder } from '../test/support/embedded.ts';
import { rounded, type Bound, type Result } from './support.ts';

interface Trained {
  /** The median of all steps but the first. */
  readonly seconds: number;
  /** Peak memory of the process. */
  readonly megabytes: number;
  readonly losses: readonly number[];
  /** Tokens of a step, with padding. */
  readonly places: number;
  readonly device: 'cpu' | 'cuda';
}
/** 42 million parameters, 16 million of them in a vocabulary of realistic size. */
const SHAPE = {
  vocab_size: 32_000,
  hidden_size: 512,
  intermediate_size: 1408,
  num_hidden_layers: 8,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
};
const objectives = ['sft', 'dpo', 'token-dpo'] as const;
type Objective = (typeof objectives)[number];

/** `rows`: rows of the batch; `words`: words of an answer, nearly all of what is computed, as `plan` assumes. `token-dpo` has all weights 1, so that TRL's
 *  DPO is its peer. */
export async function training({ rows = 4, words = 60, steps = 4, threads = 2, shape = SHAPE } = {}): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-training-'));
  const python = async (who: string, spec: TrainSpec): Promise<string> => {
    const file = join(folder, 'job.json');
    await writeFile(file, JSON.stringify({ who, spec, shape, tokenizer: baseFolder('plain') }));
    const { python: path, trainerPath } = pythonOf();
    const env = { ...process.env, ...trainerEnvironment(trainerPath), HF_HUB_OFFLINE: '1', TMPDIR: folder };
    return (await promisify(execFile)(path, [join(import.meta.dirname, 'training.py'), file], { env, maxBuffer: 2 ** 26 })).stdout;
  };
  const trained = async (who: string, spec: TrainSpec) => JSON.parse((await python(who, spec)).trim().split('\n').at(-1)!) as Trained;
  const specOf = (objective: Objective) => writeSpec({ objective, folder, rows, words, steps, threads });
  const table: object[] = [];
  const bounds: Bound[] = [];
  let undisturbed: Trained | undefined;
  try {
    await python('make', await specOf('sft'));
    for (const objective of objectives) {
      const spec = await specOf(objective);
      const peer = objective === 'token-dpo' ? { ...spec, ...(await specOf('dpo')) } : spec;
      const [stock, ours] = [await trained('trl', peer), await trained('backspin', spec)];
      const shown = (who: string, { seconds, megabytes }: Trained) => ({
        objective,
        who,
        'seconds a step': rounded(seconds, 3),
        MB: Math.round(megabytes),
      });
      table.push(shown('TRL', stock), shown('backspin', ours));
      if (objective === 'sft') undisturbed = ours;
      else
        bounds.push({
          what: `${objective}: the first loss, from ln 2`,
          is: rounded(Math.abs(ours.losses[0]! - Math.LN2), 6),
          atMost: 5e-3,
        });
      bounds.push(
        { what: `${objective}: times the seconds of a step`, is: rounded(ours.seconds / stock.seconds), atMost: 1 },
        { what: `${objective}: times the memory`, is: rounded(ours.megabytes / stock.megabytes), atMost: objective === 'sft' ? 1 : 0.7 },
        { what: `${objective}: difference of the losses`, is: differenceOf(stock, ours), atMost: ours.device === 'cpu' ? 1e-4 : 0.05 },
        estimate(objective, spec, ours),
      );
    }
    const whole = await specOf('sft');
    const again = await trained('resumed', { ...whole, run: join(folder, 'resumed') });
    const adapter = { ...whole, lora: { rank: 16, alpha: 32, targets: null, dropout: 0 }, run: join(folder, 'adapter') };
    bounds.push(
      { what: 'a stopped and resumed training: difference of the losses', is: differenceOf(again, undisturbed!), atMost: 1e-3 },
      estimate('sft of an adapter', adapter, await trained('backspin', adapter)),
    );
    return { rows: table, bounds };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const differenceOf = ({ losses }: Trained, other: Trained): number =>
  rounded(Math.max(...losses.map((loss, step) => Math.abs(loss - other.losses[step]!))), 6);

/** The estimate of what the trainer computed, beside the peak. */
function estimate(what: string, { objective, lora }: TrainSpec, { places, megabytes, device }: Trained): Bound {
  const shape = {
    hiddenSize: SHAPE.hidden_size,
    layers: SHAPE.num_hidden_layers,
    heads: SHAPE.num_attention_heads,
    headSize: SHAPE.hidden_size / SHAPE.num_attention_heads,
    kvHeads: SHAPE.num_key_value_heads,
    mlp: SHAPE.intermediate_size,
    vocabulary: SHAPE.vocab_size,
    tied: SHAPE.tie_word_embeddings,
  };
  const adapter = lora && { rank: lora.rank, alpha: lora.alpha };
  const settings = { objective, lora: adapter, maxTokens: objective === 'sft' ? places : places / 2 };
  const { total } = memoryOf({ shape, settings, rows: 1, accumulates: false, devices: 1, shard: 'none', device });
  const is = rounded(total / 2 ** 20 / megabytes);
  return { what: `${what}: estimated memory, times the peak`, is, atLeast: 0.85, atMost: 1.15 };
}

type Job = Readonly<Record<'rows' | 'words' | 'steps' | 'threads', number>> & { readonly objective: Objective; readonly folder: string };
/** Writes the rows, and returns the spec of a training on them. */
async function writeSpec({ objective, folder, rows, words, steps, threads }: Job): Promise<TrainSpec> {
  const data = join(folder, `${objective}.jsonl`);
  await writeFile(data, Array.from({ length: rows }, (_, n) => `${JSON.stringify(rowOf(objective, n, words))}\n`).join(''));
  const [from, run] = [join(folder, 'model'), join(folder, objective)];
  return { ...fixed, objective, from, data, run, steps, batch: rows, threads, beta: objective === 'sft' ? null : 0.1 };
}

/** `token-dpo` reads token ids, which it could only have from a scorer; texts whose tokens all weigh the same are `dpo`'s. */
function rowOf(objective: Objective, n: number, words: number): object {
  const text = (count: number, from: number) => Array.from({ length: count }, (_, at) => `word${(at * 37 + from) % 101}`).join(' ');
  const prompt = [{ role: 'user', content: text(2, n) }];
  const [chosen, rejected] = [text(words, n + 1), text(words - 1, n + 2)];
  if (objective === 'sft') return { messages: [...prompt, { role: 'assistant', content: chosen }] };
  return { prompt, chosen, rejected };
}

const fixed = {
  version: 1,
  base: null,
  init: null,
  lora: null,
  adapter: 'merge',
  rows: null,
  seed: 0,
  maxTokens: SHAPE.max_position_embeddings,
  tooLong: 'drop',
  learningRate: { from: 1e-4, to: 1e-4 },
  schedule: 'linear',
  warmup: 0,
  weightDecay: 0,
  betas: [0.9, 0.999] as [number, number],
  clip: null,
  dropout: 0,
  optimizer: 'adamw',
  quantization: 'none',
  attention: 'sdpa',
  packing: false,
  liger: false,
  deterministic: false,
  reference: null,
  microBatch: null,
  shard: 'none',
  evaluate: null,
  loss: 'sigmoid',
  gamma: null,
  sft: 0,
  checkpointEvery: 1000,
  checkpointSeconds: 600,
  keepCheckpoints: 1,
} as const;
