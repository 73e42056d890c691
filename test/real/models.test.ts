/** Real models in each form that a file may name: a folder, a GGUF file, a name on the Hub; embedded and by vLLM; an encoder; a base model without a
 *  chat template. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'ava';
import { root, temporary } from '../cli/cli.ts';
import { hubHome, type HubHome } from '../support/hub-home.ts';
import { python } from '../users/support.ts';

const models = JSON.parse(readFileSync(join(root, 'node_modules/.backspin-real.json'), 'utf8')) as Readonly<
  Record<'smollm2' | 'gguf' | 'minilm' | 'gemma', string>
>;
const vllm = join(root, 'node_modules/.backspin-vllm.json');
const capital = '{% user %}What is the capital of {{ text }}? Answer in one word.{% enduser %}';
const embedded = '{ engine: embedded, slots: 4, maxModelLength: 512 }';

/** A file whose first map asks `teacher`. */
function written(home: string, name: string, teacher: string, serving: string): string {
  for (const [data, texts] of Object.entries({ documents: ['Bees make honey.'], meta: ['France', 'Italy'] }))
    writeFileSync(join(home, `${data}.jsonl`), texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  writeFileSync(join(home, 'capital.jinja'), capital);
  const file = join(home, `${name}.yaml`);
  const text = `recipe: tegit
data:
  documents: { source: std.table, params: { path: documents.jsonl } }
  metaDocuments: { source: std.table, params: { path: meta.jsonl } }
models: { base: "${root}/examples/textworld/base/plain", teacher: ${teacher} }
serving: ${serving}
parameters:
  prompts: { design: ./capital.jinja }
  sampling: { design: { temperature: 0, maxTokens: 24 } }
  sft: { maxTokens: 256 }
`;
  writeFileSync(file, text);
  return file;
}
async function capitals({ home, run }: HubHome, name: string, teacher: string, serving = embedded): Promise<string> {
  const { code, stdout, stderr } = await run('try', written(home, name, teacher, serving), 'design', '--records', '2');
  if (code !== 0) throw new Error(stdout + stderr);
  return stdout;
}

test.serial('SmolLM2 answers as a folder, as a GGUF file, and by both names on the Hub', async (t) => {
  const user = await hubHome(t);
  t.teardown(() => user.run('down'));
  user.hub.publish('models', 'HuggingFaceTB/SmolLM2-135M-Instruct', models.smollm2);
  user.hub.publish('models', 'toy/SmolLM2-GGUF', { [basename(models.gguf)]: readFileSync(models.gguf) });
  for (const [name, teacher] of [
    ['folder', models.smollm2],
    ['name', 'HuggingFaceTB/SmolLM2-135M-Instruct'],
    ['file', models.gguf],
    ['named-file', `{ hub: toy/SmolLM2-GGUF, file: ${basename(models.gguf)} }`],
  ] as const) {
    const told = await capitals(user, name, teacher);
    t.regex(told, /Paris/, name);
    t.regex(told, /Rome/, name);
  }
});

(existsSync(vllm) ? test.serial : test.serial.skip)('SmolLM2 answers by its name on the Hub through vLLM', async (t) => {
  const user = await hubHome(t);
  t.teardown(() => user.run('down'));
  user.hub.publish('models', 'HuggingFaceTB/SmolLM2-135M-Instruct', models.smollm2);
  user.env['BACKSPIN_VLLM_PYTHON'] = (JSON.parse(readFileSync(vllm, 'utf8')) as { python: string }).python;
  user.env['VLLM_CPU_KVCACHE_SPACE'] = '1'; // GB
  const serving = '{ engine: vllm, slots: 4, maxModelLength: 1024, dtype: float32, arguments: { enforce-eager: true } }';
  t.regex(await capitals(user, 'vllm', 'HuggingFaceTB/SmolLM2-135M-Instruct', serving), /Paris/);
});

test.serial('all-MiniLM-L6-v2 embeds as Sentence Transformers does', async (t) => {
  const folder = temporary();
  const pairs = [
    ['How do I boil an egg?', 'What is the way to cook eggs in water?'],
    ['A cat sat.', 'Stock markets fell.'],
  ];
  writeFileSync(join(folder, 'rows.jsonl'), pairs.map((texts) => `${JSON.stringify({ texts })}\n`).join(''));
  const spec = { version: 1, model: { folder: models.minilm, base: null }, rows: join(folder, 'rows.jsonl'), run: join(folder, 'run') };
  writeFileSync(join(folder, 'spec.json'), JSON.stringify({ ...spec, clusters: 1, seed: 0, maxTokens: 512, threads: 1 }));
  process.env['PYTHONPATH'] = join(root, 'trainer');
  await python('-m', 'backspin_trainer', 'embed', '--spec', join(folder, 'spec.json'));
  const distances = readFileSync(join(folder, 'run/answers.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { distance: number }).distance);
  t.deepEqual(distances, [0.184824, 0.938823]); // 1 - cosine, by the mean of the tokens' states
});

test.serial(
  'Gemma 3 is refused as it is, since it has no chat template; with one a plan takes it, and what is converted goes on with a text',
  async (t) => {
    const { home, run } = await hubHome(t);
    const serving = '{ engine: vllm, maxModelLength: 1024 }';
    const refused = await run('plan', written(home, 'mute', models.gemma, serving));
    t.regex(refused.stderr, /models\.teacher: the chat template in .* is missing/);
    const template = `{{ bos_token }}{% for message in messages %}{{ message.role + '\\n' + message.content + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}`;
    writeFileSync(join(home, 'chat.jinja'), template);
    const planned = await run('plan', written(home, 'gemma', `{ path: ${models.gemma}, chatTemplate: chat.jinja }`, serving));
    t.notRegex(planned.stdout + planned.stderr, /chat template|teacher.*cannot/);
    const to = join(home, 'converted');
    process.env['PYTHONPATH'] = join(root, 'trainer');
    writeFileSync(join(home, 'gguf.json'), JSON.stringify({ version: 1, file: models.gemma, to, weights: true }));
    await python('-m', 'backspin_trainer', 'gguf', '--spec', join(home, 'gguf.json'));
    const says = `import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer("The capital of France is", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=4, do_sample=False)[0, ids["input_ids"].shape[1]:]))`;
    t.regex(await python('-c', says, to), /Paris/);
  },
);
