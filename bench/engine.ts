/** `engine`: compares the embedded server, with one thread, and transformers' `generate`, with one and with two threads, on the same
 *  greedy answers of a model of 1.5 million parameters. `generate` keeps torch's default spinning between operations. Model loading does
 *  not count. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pythonOf } from '../devices/python.ts';
import { corpus } from '../examples/textworld/module.ts';
import { baseFolder } from '../test/support/embedded.ts';
import { ask } from './ask.ts';
import { serve } from './python.ts';
import { rounded, type Result } from './support.ts';

const SLOTS = 64;
const MOST_TOKENS = 48;
/** Words of a prompt: the beginning of a text of the corpus. */
const WORDS = 5;

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
