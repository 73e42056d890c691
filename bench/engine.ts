/** `engine`: compares the embedded server, with one thread, and transformers' `generate`, with one and with two threads, on the same
 *  greedy answers of a model of 1.5 million parameters. `generate` keeps torch's default spinning between operations. Model loading does
 *  not count. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { pythonOf } from '../devices/python.ts';
import { corpus } from '../examples/textworld/module.ts';
import { root } from '../test/cli/cli.ts';
import { baseFolder } from '../test/support/embedded.ts';
import { ask } from './ask.ts';
import { serve } from './python.ts';
import { rounded, type Result } from './support.ts';

const SLOTS = 64;
const MOST_TOKENS = 48;
/** Words of a prompt: the beginning of a text of the corpus. */
const WORDS = 5;
/** Of a token of SmolLM2 in Markdown, about. */
const CHARACTERS = 3;

interface Generated {
  readonly seconds: number;
  readonly tokens: number;
  readonly texts: readonly string[];
}

export async function engine({ count = 1024, batches = [64, 256], threads = [1, 2], runs = 3 } = {}): Promise<Result> {
  const folder = baseFolder('plain');
  const texts = [...(corpus.rows({ seed: 0, size: 'full' }, []) as Iterable<{ text: string }>)];
  const prompts = texts.slice(0, count).map(({ text }) => text.split(' ').slice(0, WORDS).join(' '));

  const server = await serve({ model: { folder, base: null } }, SLOTS, 1);
  const requests = prompts.map((prompt) => ({ model: 'model', prompt, temperature: 0, max_tokens: MOST_TOKENS }));
  const asking = () => ask(server, requests, 1.25 * SLOTS, '/v1/completions');
  await ask(server, requests.slice(0, SLOTS), SLOTS, '/v1/completions');
  const served = await quickest(runs, asking);
  await server.stop();
  const answers = (served.replies as { choices: [{ text: string }] }[]).map(({ choices: [{ text }] }) => text);

  const plain = [];
  for (const batch of batches)
    for (const number of threads) {
      const job = { folder, prompts, batch, mostTokens: MOST_TOKENS, threads: number };
      plain.push({ batch, number, ...(await quickest(runs, () => generated(job))) });
    }
  const best = plain.filter(({ number }) => number === 1).reduce((a, b) => (b.seconds < a.seconds ? b : a));
  const same = answers.filter((text, i) => text === best.texts[i]).length / prompts.length;
  const row = (who: string, seconds: number) => ({
    who,
    answers: prompts.length,
    tokens: best.tokens,
    seconds: rounded(seconds),
    'tokens a second': Math.round(best.tokens / seconds),
  });
  return {
    rows: [
      row('embedded server, over HTTP', served.seconds),
      ...plain.map(({ batch, number, seconds }) => row(`generate, batches of ${batch}, threads: ${number}`, seconds)),
    ],
    bounds: [
      { what: 'times the speed of the best of generate with one thread', is: rounded(best.seconds / served.seconds), atLeast: 1 },
      { what: 'share of answers that are the same', is: rounded(same, 3), atLeast: 0.99 },
    ],
  };
}

/** Answers of a real model of 135 million parameters (`node setup.js --real`), with two threads on both sides: `flights` prompts at once, of
 *  so many tokens, cut from real text. */
export async function smollm2({ flights = [1, 8, 32], lengths = [100, 500, 2000], mostTokens = 64 } = {}): Promise<Result> {
  const { smollm2: folder } = JSON.parse(readFileSync(join(root, 'node_modules/.backspin-real.json'), 'utf8')) as { smollm2: string };
  const text = readFileSync(join(root, 'node_modules/undici/README.md'), 'utf8').repeat(20);
  const threads = 2;
  const began = performance.now();
  const server = await serve({ model: { folder, base: null } }, Math.max(...flights), threads, 4096);
  const start = (performance.now() - began) / 1000;
  const rows: object[] = [];
  const short: number[] = [];
  for (const length of lengths)
    for (const flight of flights) {
      const characters = CHARACTERS * length;
      const prompts = Array.from({ length: flight }, (_, n) => text.slice(n * 997, n * 997 + characters));
      const requests = prompts.map((prompt) => ({ model: 'model', prompt, temperature: 0, max_tokens: mostTokens }));
      const served = await ask(server, requests, flight, '/v1/completions');
      const tokens = (served.replies as { usage: { completion_tokens: number } }[]).reduce(
        (sum, { usage }) => sum + usage.completion_tokens,
        0,
      );
      const plain = await generated({ folder, prompts, batch: flight, mostTokens, threads });
      const [ours, theirs] = [tokens / served.seconds, plain.tokens / plain.seconds];
      if (length <= 100 && flight > 1) short.push(ours / theirs);
      const shown = { 'in flight': flight, 'tokens of a prompt': length, 'embedded, tokens a second': rounded(ours) };
      rows.push({ ...shown, 'generate, tokens a second': rounded(theirs), times: rounded(ours / theirs) });
    }
  await server.stop();
  return {
    rows: [...rows, { 'seconds until the server answers': rounded(start) }],
    bounds: [{ what: 'times the speed of generate, several short prompts', is: rounded(Math.min(...short)), atLeast: 1 }],
  };
}

/** Returns the fastest of several runs: other load on the machine only makes a run longer. */
async function quickest<T extends { readonly seconds: number }>(count: number, run: () => Promise<T>): Promise<T> {
  let best = await run();
  for (let n = 1; n < count; n++) {
    const next = await run();
    if (next.seconds < best.seconds) best = next;
  }
  return best;
}

async function generated(job: object): Promise<Generated> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-generate-'));
  const file = join(folder, 'job.json');
  await writeFile(file, JSON.stringify(job));
  const env = { ...process.env, HF_HUB_OFFLINE: '1' };
  const { stdout } = await promisify(execFile)(pythonOf().python, [join(import.meta.dirname, 'generate.py'), file], {
    env,
    maxBuffer: 2 ** 28,
  });
  await rm(folder, { recursive: true });
  return JSON.parse(stdout) as Generated;
}
