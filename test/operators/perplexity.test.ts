/** Perplexity of the texts of a dataset, and of responses after their instructions. */
import test from 'ava';
import { join } from 'node:path';
import { perplexity } from '../../operators/eval/index.ts';
import type { ReportRef } from '../../schemas/call.ts';
import { jsonl, stage } from '../support/recipe.ts';

const asked: unknown[] = [];
const made = await stage(
  'humpback',
  {
    reply: (role) => (role === 'model' ? 'mine' : 'Score: 5'),
    /** A quarter for each letter. */
    score({ role, prompt, continuation }) {
      if (role === 'model') asked.push([prompt, continuation]);
      return Array.from(continuation, (_, id) => ({ id, logprob: Math.log(1 / 4), entropy: null }));
    },
  },
  {
    'pairs.jsonl': jsonl([{ instruction: 'Say it.', response: 'four' }]),
    'texts.jsonl': jsonl([{ text: 'abcd' }, { text: 'éé' }]),
    'base/': '{}',
  },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
const measured = async (path: string) => {
  const ran = await made.run({
    parameters: { rounds: 1, minimum: 1, keep: 'all' },
    data: { seed: source('pairs.jsonl'), corpus: source('texts.jsonl'), items: source(path) },
    models: { base: { path: join(made.folder, 'base') } },
    evaluation: { forward: { id: 'eval.perplexity', params: perplexity.params!.parse({}) as object, data: 'items' } },
  });
  return (ran.step('r1/evaluate-forward').result as ReportRef).metrics;
};

test.serial('of texts, per token and in bits per byte of UTF-8', async (t) => {
  const { perplexity: value, bitsPerByte, ...others } = await measured('texts.jsonl');
  t.is(value!.toFixed(9), '4.000000000');
  t.is(bitsPerByte!.toFixed(9), ((6 * 2) / 8).toFixed(9));
  t.deepEqual(others, { tokens: 6, answered: 1, unread: 0 });
});

test.serial('of a response, after its instruction as the model is asked it', async (t) => {
  t.is((await measured('pairs.jsonl'))['tokens'], 4);
  t.deepEqual(asked.at(-1), [{ messages: [{ role: 'user', content: 'Say it.' }] }, 'four']);
});
