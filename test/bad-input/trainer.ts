/** What only the trainer can tell: models and templates as its libraries see them, the rows of a training, its spec. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { TrainSpec } from '../../schemas/trainer.ts';
import { temporary } from '../cli/cli.ts';
import { realPython, spec, trainerPath } from '../support/devices.ts';
import { keeping, put, type Answer, type Case, type Files } from './case.ts';
import { base } from './experiment.ts';

type Ask = (verb: string, spec: string, environment: object) => Promise<Answer>;

/** One Python for all cases, which it meets one after the other. */
let ask: Ask | undefined;
function python(): Ask {
  const child = spawn(realPython(), [join(import.meta.dirname, 'trainer.py')], {
    stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
    env: { ...process.env, PYTHONPATH: trainerPath },
  });
  const stdin = child.stdin as Writable;
  const answers = createInterface(child.stdio[3] as Readable)[Symbol.asyncIterator]();
  let left = trainer.length;
  let before: Promise<unknown> = Promise.resolve();
  return (verb, spec, environment) => {
    const answer = before.then(async () => {
      stdin.write(`${JSON.stringify({ verb, spec, environment })}\n`);
      const { value } = await answers.next();
      if (--left === 0) stdin.end();
      return JSON.parse(value as string) as Answer;
    });
    before = answer.catch(() => {});
    return answer;
  };
}

const file = (name: string) => readFileSync(join(base, name));
const names = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];
const turns = [
  { role: 'user', content: 'Which?' },
  { role: 'assistant', content: 'This.' },
];
const row = JSON.stringify({ messages: turns });

/** A verb with a sound model (in `model`), sound rows (in `rows.jsonl`) and this spec, changed. */
function verb(
  name: 'train' | 'serve',
  what: string,
  ends: number,
  says: RegExp,
  change: Files,
  given: object,
  environment: object = {},
): Case {
  const make = () => {
    const folder = put(temporary(), {
      ...Object.fromEntries(names.map((name) => [`model/${name}`, file(name)])),
      'rows.jsonl': `${row}\n`,
      ...change,
    });
    const path = join(folder, 'spec.json');
    const sound =
      name === 'train'
        ? spec(join(folder, 'run'), { from: join(folder, 'model'), data: join(folder, 'rows.jsonl') })
        : { version: 1, models: { m: { folder: join(folder, 'model') } }, ready: join(folder, 'ready.json') };
    put(folder, { 'spec.json': JSON.stringify({ ...sound, ...given }) });
    return keeping(folder, () => (ask ??= python())(name, path, { BACKSPIN_SERVE_KEY: 'key', ...environment }));
  };
  return { what, ends, says, make };
}
const train = (what: string, ends: number, says: RegExp, change: Files, given: Partial<TrainSpec> | object = {}) =>
  verb('train', what, ends, says, change, given);
const rows = (what: string, line: string, says: RegExp) => train(what, 65, says, { 'rows.jsonl': `${row}\n${line}\n` });
const config = (change: object) => ({
  'model/config.json': JSON.stringify({ ...(JSON.parse(file('config.json').toString()) as object), ...change }),
});
const template = (text: string) => ({ 'model/chat_template.jinja': text });

/** The weights with their last number, of 4 bytes, not a number. */
function broken(): Buffer {
  const weights = Buffer.from(file('model.safetensors'));
  weights.writeUInt32LE(0x7fc00000, weights.length - 4);
  return weights;
}

export const trainer: readonly Case[] = [
  train('a key of a spec is misspelt', 64, /Spec key 'stepz' is unknown; did you mean 'steps'\?/, {}, { stepz: 3 }),
  train('a seed above those of all generators', 64, /Spec key 'seed' must be from 0 to 4294967295/, {}, { seed: 2 ** 40 }),
  train(
    'longer rows than the model reads',
    64,
    /Spec key 'maxTokens' is 512, but the model's context is 256; lower it/,
    {},
    { maxTokens: 512 },
  ),
  train(
    'rows that are not there',
    65,
    /Cannot read the rows in .*none\.jsonl: No such file or directory\. Give a JSONL file/,
    {},
    { data: '/none.jsonl' },
  ),
  rows('a row that is no JSON', '{"messages": [', /rows\.jsonl:2 is not JSON/),
  rows(
    'a row without an answer',
    JSON.stringify({ messages: turns.slice(0, 1) }),
    /rows\.jsonl:2 needs "messages", a list of .* that ends with the assistant/,
  ),
  rows(
    'a row that is too long',
    JSON.stringify({ messages: [turns[0], { role: 'assistant', content: 'long '.repeat(90) }] }),
    /rows\.jsonl:2 has \d+ tokens, \d+ of them before the answer; maxTokens is 64\. It leaves 1 rows .*: fix the rows in refused\.jsonl/,
  ),
  train(
    'a layer more in config.json than in the weights',
    66,
    /The weights in .*model do not fit its config\.json: model\.layers\.4\.\S+ is missing\. Replace one of the two/,
    config({ num_hidden_layers: 5 }),
  ),
  train(
    'other widths in config.json than in the weights',
    66,
    /The weights in .*model do not fit its config\.json: model\.layers\.0\.mlp\.\S+ has another shape/,
    config({ intermediate_size: 400 }),
  ),
  train(
    'an architecture that nobody knows',
    66,
    /Cannot load the model in .*model: .*model type `lama`.*Repair or replace it/,
    config({ model_type: 'lama' }),
  ),
  train('weights of another format', 66, /Cannot load the model in .*model: .*\. Repair or replace it/, {
    'model/model.safetensors': 'weights',
  }),
  train(
    'a chat template that is no Jinja',
    66,
    /The chat template of .*model cannot render a user turn: .*; repair chat_template/,
    template('{% for m in messages %}{{ m.content }'),
  ),
  train(
    'a chat template that ends no turn',
    66,
    /The chat template of .*model does not end the assistant's turn with the end token <\|end\|>/,
    template(
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ),
  ),
  train(
    'a run folder below a file',
    73,
    /Cannot write \/dev\/null\/run: .*Free space or fix permissions, then start again/,
    {},
    { run: '/dev/null/run' },
  ),
  verb(
    'serve',
    'a server without a key',
    64,
    /The environment variable BACKSPIN_SERVE_KEY is empty; set it to the key/,
    {},
    {},
    { BACKSPIN_SERVE_KEY: '' },
  ),
  verb(
    'serve',
    'a server of another architecture',
    66,
    /The model in .*model is a 'gpt2', and the embedded server runs 'llama' only; serve it with vLLM/,
    config({ model_type: 'gpt2' }),
    {},
  ),
  verb(
    'serve',
    'a server of weights that are not numbers',
    66,
    /The model in .*model has weights that are not finite; train it again/,
    { 'model/model.safetensors': broken() },
    {},
  ),
];
