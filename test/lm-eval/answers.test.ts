/** Tasks of EleutherAI's harness with a model that the test plays: what is asked, and what the harness makes of the answers. */
import test from 'ava';
import { join } from 'node:path';
import type { ReportRef } from '../../schemas/call.ts';
import { jsonl, stage } from '../support/recipe.ts';

const include = join(import.meta.dirname, 'tasks');
const scored: { readonly prompt: unknown; readonly continuation: string }[] = [];
const made = await stage(
  'humpback',
  {
    reply: (role, _, content) => (role === 'model' ? (content.includes('river') ? ' Rhine' : 'Paris') : 'Score: 5'),
    /** Prefers Rhine; where there is none the harness takes the first choice. */
    score({ role, prompt, continuation }) {
      if (role === 'model') scored.push({ prompt, continuation });
      return [{ id: 0, logprob: continuation.includes('Rhine') ? -1 : -2, entropy: null }];
    },
  },
  {
    'pairs.jsonl': jsonl([{ instruction: 'q', response: 'a' }]),
    'texts.jsonl': jsonl([{ text: 'a text' }]),
    'base/': '{}',
  },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
const measured = async (params: object) => {
  const ran = await made.run({
    parameters: { rounds: 1, minimum: 1, keep: 'all' },
    data: { seed: source('pairs.jsonl'), corpus: source('texts.jsonl'), items: { source: 'std.lm-eval', params, folder: made.folder } },
    models: { base: { path: join(made.folder, 'base') } },
    evaluation: { forward: { id: 'eval.lm-eval', params: {}, data: 'items' } },
  });
  return (ran.step('r1/evaluate-forward').result as ReportRef).metrics;
};

test.serial('choices, greedy continuations and generations are measured by the harness', async (t) => {
  const metrics = await measured({ tasks: ['rivers', 'echo', 'last'], include });
  t.like(metrics, { 'rivers.acc': 2 / 3, 'last.acc': 1 / 3, answered: 1, documents: 9 });
  t.is(metrics['echo.exact_match'], 1 / 3);
  t.true(metrics['rivers.accLow']! < 2 / 3 && metrics['rivers.accHigh']! > 2 / 3);
});

test.serial('a limit, and messages in place of a text', async (t) => {
  scored.length = 0;
  t.like(await measured({ tasks: ['rivers'], include, limit: 1, chat: true, system: 'Be brief.' }), { documents: 1 });
  t.deepEqual(scored[0]!.prompt, {
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Question: Which is a river?\nAnswer:' },
    ],
  });
});
