/** `score`: compares backspin with the naive way of computing log-probabilities, entropies and divergences of continuations, on the CPU,
 *  in one process. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pythonOf } from '../devices/python.ts';
import { trainerEnvironment } from '../devices/python.ts';
import { rounded, type Result } from './support.ts';

/** Medians of the runs in seconds, and the largest difference between two numbers. */
interface Measured {
  readonly naive: number;
  readonly ours: number;
  readonly difference: number;
  /** Tokens of prompts and continuations. */
  readonly tokens: number;
}
/** 42 million parameters, 16 million of them in a vocabulary of realistic size. */
export const SHAPE = {
  vocab_size: 32_000,
  hidden_size: 512,
  intermediate_size: 1408,
  num_hidden_layers: 8,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  max_position_embeddings: 1024,
  tie_word_embeddings: true,
};

/** `prompt` and `continuation` are median lengths in tokens; both ways use batches of `batch`. */
export async function score({
  rows = 64,
  prompt = 60,
  continuation = 40,
  batch = 8,
  runs = 3,
  threads = 2,
  shape = SHAPE,
} = {}): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-score-'));
  try {
    const file = join(folder, 'job.json');
    await writeFile(file, JSON.stringify({ rows, prompt, continuation, batch, runs, threads, shape }));
    const { python, trainerPath } = pythonOf();
    const env = { ...process.env, ...trainerEnvironment(trainerPath), HF_HUB_OFFLINE: '1' };
    const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'score.py'), file], { env });
    const [alone, compared] = JSON.parse(stdout.trim().split('\n').at(-1)!) as [Measured, Measured];
    const shown = (what: string, { naive, ours, tokens }: Measured) => ({
      what,
      tokens,
      'seconds, naive': rounded(naive),
      'seconds, backspin': rounded(ours),
      'times as fast': rounded(naive / ours),
    });
    return {
      rows: [shown('log-probabilities, entropies', alone), shown('and divergences beside another context', compared)],
      bounds: [
        { what: 'times as fast', is: rounded(alone.naive / alone.ours), atLeast: 1.5 },
        { what: 'times as fast, with divergences', is: rounded(compared.naive / compared.ours), atLeast: 1.5 },
        { what: 'difference of the numbers', is: Math.max(alone.difference, compared.difference), atMost: 1e-4 },
      ],
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
