/** Model folders. Those that a chat template's text gives away are in `test/experiments/models.test.ts`; those that only Python can tell in `trainer.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Case, Files } from './case.ts';
import { base, changed, plan } from './experiment.ts';

const file = (name: string) => readFileSync(join(base, name));
const names = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];
/** The base of the text world with some files changed, some (null) taken away. */
function model(what: string, change: Readonly<Record<string, string | Uint8Array | null>>, says: RegExp): Case {
  const given = { ...Object.fromEntries(names.map((name) => [name, file(name)])), ...change };
  const there = Object.entries(given).flatMap(([name, content]) => (content === null ? [] : [[`model/${name}`, content] as const]));
  return plan(what, changed(base, 'model'), says, { more: Object.fromEntries(there) satisfies Files });
}
const weights = file('model.safetensors');

export const models: readonly Case[] = [
  plan(
    'a model is one of its files',
    changed(base, `${base}/config.json`),
    /experiment\.yaml:6:17 models\.base\.path: .*config\.json is not a folder that can be read; give the folder of a model/,
  ),
  plan(
    'a model is on a hub',
    changed(base, 'meta-llama/Llama-3.2-1B'),
    /models\.base\.path: .*meta-llama\/Llama-3\.2-1B is not a folder that can be read; give the folder of a model, or \{ hub: meta-llama\/Llama-3\.2-1B \} for a model on the Hub/,
  ),
  model(
    'half of the files were copied',
    { 'config.json': null, 'tokenizer.json': null },
    /models\.base\.path: .*model has no config\.json; give the folder of a whole Hugging Face model/,
  ),
  model('config.json was cut', { 'config.json': file('config.json').subarray(0, 40) }, /model\/config\.json is not JSON .*; repair it/),
  model('config.json holds nothing', { 'config.json': 'null' }, /model\/config\.json holds no JSON object; repair it/),
  model(
    'weights in a format of old, which were cut',
    { 'model.safetensors': null, 'pytorch_model.bin': 'x' },
    /model\/pytorch_model\.bin is no file of weights that PyTorch saved; fetch it again/,
  ),
  model(
    'weights that git-lfs did not fetch',
    { 'model.safetensors': 'version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 5908056\n' },
    /model\.safetensors is no whole safetensors file: it has \d+ bytes, fewer than its header takes; fetch it again/,
  ),
  model(
    'weights whose header was cut',
    { 'model.safetensors': weights.subarray(0, 100) },
    /model\.safetensors is no whole safetensors file: it has 100 bytes, fewer than its header takes; fetch it again/,
  ),
  model(
    'weights that were cut',
    { 'model.safetensors': weights.subarray(0, 3_000_000) },
    /model\.safetensors is no whole safetensors file: it has 3000000 bytes and should have 5908056; fetch it again/,
  ),
  model(
    'one of two files of weights',
    {
      'model.safetensors': null,
      'model-1.safetensors': weights,
      'model.safetensors.index.json': JSON.stringify({ weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' } }),
    },
    /model has no model-2\.safetensors, which .*index\.json names; fetch it/,
  ),
  model(
    'a tokenizer that was cut',
    { 'tokenizer.json': file('tokenizer.json').subarray(0, 99) },
    /model\/tokenizer\.json is not JSON .*; repair it/,
  ),
  model(
    'a tokenizer without an end token',
    {
      'tokenizer_config.json': '{"tokenizer_class":"TokenizersBackend"}',
      'config.json': String(file('config.json')).replace('"eos_token_id": 1,', ''),
    },
    /the tokenizer in .*model has no end token; set eos_token in its tokenizer_config\.json/,
  ),
  model(
    'an empty chat template',
    { 'chat_template.jinja': '\n' },
    /the chat template in .*model is missing; repair chat_template in its tokenizer files/,
  ),
  model(
    'another architecture',
    { 'config.json': '{"model_type":"gpt2","architectures":["GPT2LMHeadModel"]}' },
    /Missing:\n\s+The model "base" is GPT2LMHeadModel: the embedded engine serves LlamaForCausalLM/,
  ),
  plan(
    'a chat template in a file that is not there',
    changed(`{ path: ${base} }`, `{ path: ${base}, chatTemplate: chat.jinja }`),
    /experiment\.yaml:6:\d+ models\.base\.chatTemplate: .*chat\.jinja cannot be read; give a file with a chat template/,
  ),
  plan(
    'a chat template in a file that opens no answer',
    changed(`{ path: ${base} }`, `{ path: ${base}, chatTemplate: chat.jinja }`),
    /models\.base\.chatTemplate: the chat template .*chat\.jinja has no generation prompt .*; repair it/,
    { more: { 'chat.jinja': '{% for message in messages %}{{ message.role + message.content + eos_token }}{% endfor %}' } },
  ),
];
