/** A research group: a chat model in the form of Llama 2 in shards, many segments of web text, the likelihood of a response as its
 *  judgement, and adapters. `test/users/llama2.py` tells what is particular about such a model. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { root } from '../cli/cli.ts';
import { hubHome } from '../support/hub-home.ts';
import { completed, python } from './support.ts';

const SEGMENTS = 240;
const experiment = `name: group
recipe: humpback
data:
  seed: { source: std.table, params: { path: seed.json, format: oasst } }
  corpus: { source: std.documents, params: { path: web, minChars: 60, onInvalid: drop } }
models:
  base: models/llama-2
serving: { engine: embedded, slots: 16, maxModelLength: 2048 }
evaluation:
  forward: { suite: humpback.answers, params: { instructions: [What is a harbour?], sampling: { temperature: 1, maxTokens: 8 } } }
parameters:
  rounds: 2
  minimum: 4
  judge: likelihood
  judgeCheck: { pairs: 8 }
  keep: { share: 0.1 }
  instructionChars: { min: 1, max: 800 }
  sampling:
    backtranslate: { temperature: 1, maxTokens: 12, stop: [e, a] } # a random model ends no turn
  sft: { length: { steps: 2 }, batch: 4, maxTokens: 512, learningRate: 1e-3, lora: { rank: 4, alpha: 8 } }
`;
const merged = `import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1])
prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is a harbour?"}], return_tensors="pt", return_dict=True)
print(tokenizer.convert_ids_to_tokens(prompt["input_ids"][0]).count("<s>"), model.generate(**prompt, max_new_tokens=4).shape[1] > prompt["input_ids"].shape[1])`;

test('a research group: Llama 2 in shards, many segments, two rounds with adapters, from plan to a merged export', async (t) => {
  t.timeout(1_200_000);
  const user = await hubHome(t);
  const { home, run } = user;
  const model = join(home, 'models/llama-2');
  await python(join(import.meta.dirname, 'llama2.py'), model, join(root, 'README.md'), join(root, 'docs/concepts.md'));
  t.true(readdirSync(model).filter((name) => name.endsWith('.safetensors')).length > 2, 'its weights are in shards');
  mkdirSync(join(home, 'web'));
  const page = (n: number) =>
    `# Harbour ${n}\n\nThe harbour of town ${n} has ${n + 2} piers, and its oldest ship is called <s>Number</s> ${n * 7}.\n`;
  const pages = Array.from({ length: SEGMENTS }, (_, n) => `${JSON.stringify({ text: page(n) })}\n`);
  writeFileSync(join(home, 'web/part-0.jsonl.gz'), gzipSync(pages.slice(0, SEGMENTS / 2).join('')));
  writeFileSync(join(home, 'web/part-1.jsonl'), pages.slice(SEGMENTS / 2).join('') + '{"text": 5}\n');
  const tree = (n: number) => ({
    prompt: {
      role: 'prompter',
      text: `How many piers has ${n}?`,
      replies: [{ role: 'assistant', text: `It has ${n} piers.`, rank: 0, replies: [] }],
    },
  });
  writeFileSync(join(home, 'seed.json'), JSON.stringify(Array.from({ length: 12 }, (_, n) => tree(n))));
  const file = join(home, 'group.yaml');
  writeFileSync(file, experiment);

  const view = await completed(t, user, file, 'group');
  const at = (path: string) => view.steps.find((step) => step.path === path)!;
  t.like(at('data-corpus'), { kept: SEGMENTS, dropped: { invalid: 1 } });
  t.like(at('backtranslate'), { in: SEGMENTS });
  for (const round of ['r1', 'r2']) {
    t.true(at(`${round}/judge`).kept! > SEGMENTS / 2, `${round}: most pairs have a rating`);
    t.true(at(`${round}/curated`).kept! >= 4);
  }
  const shown = (await run('show', 'group', 'r2/curated', '--limit', '1')).stdout;
  t.regex(shown, /response: The harbour of town \d+ has \d+ piers, and its oldest ship is called <s>Number<\/s>/);
  const to = join(home, 'exported');
  const exported = await run('export', 'group', '--to', to);
  t.is(exported.code, 0, exported.stderr);
  t.false(existsSync(join(to, 'adapter_config.json')));
  t.is((await python('-c', merged, to)).trim().split('\n').at(-1), '1 True', 'one <s> begins a prompt');
  t.like(JSON.parse(readFileSync(join(to, 'generation_config.json'), 'utf8')), { temperature: 0.6, do_sample: true });
});
