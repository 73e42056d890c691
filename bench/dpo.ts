/** `token-dpo`: compares preference training by backspin's trainer and by TRL's, on the same batch of the same random model, on the CPU. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pythonOf } from '../devices/python.ts';
import { trainerEnvironment } from '../devices/python.ts';
import type { TrainSpec } from '../schemas/trainer.ts';
import { baseFolder } from '../test/support/embedded.ts';
import { rounded, type Result } from './support.ts';

interface Trained {
  /** The median of all steps but the first. */
  readonly seconds: number;
  /** Peak memory of the process. */
  readonly megabytes: number;
  readonly losses: readonly number[];
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
const MOST_TOKENS = 512;

/** `pairs`: pairs per batch; `words`: words per prompt (an answer has a half or a third as many). */
export async function tokenDpo({ pairs = 4, words = 40, steps = 4, threads = 2, shape = SHAPE } = {}): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-dpo-'));
  const [model, rows, spec] = ['model', 'rows.jsonl', 'spec.json'].map((name) => join(folder, name)) as [string, string, string];
  const text = (count: number, from: number) => Array.from({ length: count }, (_, n) => `word${(n * 37 + from) % 101}`).join(' ');
  const row = (n: number) => ({
    prompt: [{ role: 'user', content: text(words, n) }],
    chosen: text(Math.ceil(words / 2), n + 1),
    rejected: text(Math.ceil(words / 3), n + 2),
  });
  await writeFile(rows, Array.from({ length: pairs }, (_, n) => `${JSON.stringify(row(n))}\n`).join(''));
  await writeFile(spec, JSON.stringify(specOf(model, rows, folder)));
  const python = async (job: object): Promise<string> => {
    const file = join(folder, 'job.json');
    await writeFile(file, JSON.stringify({ folder: model, rows, spec, steps, threads, shape, tokenizer: baseFolder('plain'), ...job }));
    const { python, trainerPath } = pythonOf();
    const env = { ...process.env, ...trainerEnvironment(trainerPath), HF_HUB_OFFLINE: '1', TMPDIR: folder };
    return (await promisify(execFile)(python, [join(import.meta.dirname, 'dpo.py'), file], { env, maxBuffer: 2 ** 26 })).stdout;
  };
  try {
    await python({ who: 'make' });
    const trained = async (who: string) => JSON.parse((await python({ who })).trim().split('\n').at(-1)!) as Trained;
    const [stock, ours] = [await trained('trl'), await trained('backspin')];
    const shown = (who: string, { seconds, megabytes }: Trained) => ({
      who,
      'seconds a step': rounded(seconds, 3),
      MB: Math.round(megabytes),
    });
    const difference = Math.max(...stock.losses.map((loss, step) => Math.abs(loss - ours.losses[step]!)));
    return {
      rows: [shown("TRL's DPOTrainer", stock), shown('backspin', ours)],
      bounds: [
        { what: 'times the seconds of a step', is: rounded(ours.seconds / stock.seconds), atMost: 0.8 },
        { what: 'times the memory', is: rounded(ours.megabytes / stock.megabytes), atMost: 0.8 },
        { what: 'difference of the losses', is: difference, atMost: 1e-5 },
      ],
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const specOf = (from: string, data: string, run: string): TrainSpec => ({
  version: 1,
  objective: 'dpo',
  from,
  base: null,
  init: null,
  lora: null,
  adapter: 'merge',
  data,
  run,
  rows: null,
  seed: 0,
  steps: 1,
  batch: 1,
  maxTokens: MOST_TOKENS,
  tooLong: 'drop',
  learningRate: { from: 1e-4, to: 1e-4 },
  schedule: 'linear',
  warmup: 0,
  weightDecay: 0,
  betas: [0.9, 0.999],
  clip: null,
  dropout: 0,
  optimizer: 'adamw',
  beta: 0.1,
  reference: null,
  microBatch: null,
  shard: 'none',
  evaluate: null,
  checkpointEvery: 1,
  checkpointSeconds: 600,
  keepCheckpoints: 1,
  threads: 1,
});
