/** What `plan` finds missing, `launch` finds before anything runs: else a step would stand at attention, hours later. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Case } from './case.ts';
import { base, both, changed, sound } from './experiment.ts';

const model = Object.fromEntries(
  ['model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'].map((name) => [
    `model/${name}`,
    readFileSync(join(base, name)),
  ]),
);
const judged = `import { keep, operator, suite } from 'backspin';
import { z } from 'zod';
export const namespace = 'mine';
const item = z.object({ q: z.string() });
const ask = operator({ version: 1, input: item, output: item, roles: ['model', 'judge'], capabilities: ['chat'], run: (one) => keep(one) });
export const judged = suite({ version: 1, items: () => [{ q: 'why?' }], ask, measure: () => ({ good: 1 }) });
`;

export const launch: readonly Case[] = [
  ...both(
    'a model is asked in another form than it is trained in',
    changed('rounds: 2', 'rounds: 2\n  templates: { toResponse: humpback.toInstruction }'),
    /Step r1\/judge asks the model in the role "scorer" by the prompt humpback\.curation, which is for models trained with humpback\.toResponse; this one was trained with humpback\.toInstruction\. Name a prompt of the same form/,
  ),
  ...both(
    'a model that the embedded engine cannot serve',
    changed(base, 'model'),
    /The model "base" is GPT2LMHeadModel: the embedded engine serves LlamaForCausalLM/,
    { ...model, 'model/config.json': '{"model_type":"gpt2","architectures":["GPT2LMHeadModel"]}' },
  ),
  ...both(
    'a suite that asks a judge, whom the file does not name',
    `${changed('curated: { suite: humpback.pairs }', 'forward: { suite: mine.judged }')}modules: [./mine.ts]\n`,
    /the suite mine\.judged asks a model in the role judge: name it under `with`/,
    { 'mine.ts': judged },
  ),
  ...both(
    'a model that is trained is served by somebody else',
    changed(`{ path: ${base} }`, '{ external: { url: "http://127.0.0.1:9/v1", model: m, revision: r1 } }'),
    /Step backward: the model m is external: its weights are not here, so it cannot be trained/,
  ),
  ...both(
    'the file of a source is not there',
    sound.replace('path: seed.jsonl', 'path: sead.jsonl'),
    /sead\.jsonl cannot be read \(ENOENT\): check its path in the experiment file/,
  ),
];
