import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { experimentFile } from '../../schemas/file.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { fault, sound, world, write } from './written.ts';

test('a sound file is bound: named after itself, defaults filled in, paths absolute', async (t) => {
  const { bound } = await loadExperiment(write(sound));
  t.is(bound.name, 'experiment');
  t.is(bound.serving.pool, 'cpu');
  t.deepEqual(bound.models['base'], { path: join(world, 'base/rated') });
  t.like(bound.parameters, { rounds: 2, judge: 'rating', keep: { threshold: 4 } });
  t.like(bound.data['seed'], { source: 'textworld.seed', params: { seed: 0, size: 'full' } });
});

test('the digest is that of what the file says, not of how it is written', async (t) => {
  const path = write(sound);
  const { digest } = await loadExperiment(path);
  writeFileSync(path, `# a comment\n${sound.replace('{ threshold: 4 }', '\n    threshold: 4.0')}`);
  t.is((await loadExperiment(path)).digest, digest);
  writeFileSync(path, sound.replace('threshold: 4', 'threshold: 5'));
  t.not((await loadExperiment(path)).digest, digest);
});

test('cycle-instruct takes documents or pairs: none and both are refused', async (t) => {
  const given = (...names: string[]) => `recipe: cycle-instruct
modules: [${world}/module.ts]
data: { ${names.map((name) => `${name}: { source: textworld.corpus, params: { seed: 0 } }`).join(', ')} }
models:
  base: { path: ${world}/base/plain }
`;
  for (const names of [[], ['documents', 'pairs']])
    t.regex(await fault(t, given(...names)), /data: must have just one of documents and pairs/);
  t.is((await loadExperiment(write(given('pairs')))).bound.recipe, 'cycle-instruct');
});

test('musc makes up instructions from demos: without them the file is refused, before anything runs', async (t) => {
  const given = (demos: string) => `recipe: musc
modules: [${world}/module.ts]
data: { queries: { source: textworld.corpus, params: { seed: 0 } }${demos} }
models:
  policy: { path: ${world}/base/plain }
parameters:
  selfMade: 3
`;
  t.regex(await fault(t, given('')), /parameters\.selfMade: to make up instructions takes `demos` under `data`; give them, or say 0/);
  t.is((await loadExperiment(write(given(', demos: { source: textworld.corpus, params: { seed: 0 } }')))).bound.recipe, 'musc');
});

const faults: readonly (readonly [title: string, from: string, to: string, says: RegExp])[] = [
  ['an unknown key', 'rounds: 2', 'ronds: 2', /experiment\.yaml:11:3 parameters\.ronds: unknown key; the nearest is "rounds"/],
  [
    'an unknown key at the top',
    'evaluation:',
    'evaluations:',
    /experiment\.yaml:8:1 evaluations: unknown key; the nearest is "evaluation"/,
  ],
  ['a value of another type', 'rounds: 2', 'rounds: two', /experiment\.yaml:11:11 parameters\.rounds: is "two"; expected a number/],
  ['an unknown recipe', 'humpback', 'humpbak', /experiment\.yaml:1:9 recipe: .*none of air, [\w, -]+, tegit; the nearest is "humpback"/],
  [
    'a missing source',
    '  seed: {',
    '  sead: {',
    /experiment\.yaml:3:1 data\.seed: is missing; the recipe humpback needs it\n.*:4:3 data\.sead: .*the nearest is "seed"/,
  ],
  [
    'an unregistered source',
    'textworld.seed,',
    'textworld.seeds,',
    /experiment\.yaml:4:19 data\.seed\.source: There is no source "textworld\.seeds"; the nearest is textworld\.seed/,
  ],
  [
    'a parameter that a source does not have',
    'params: { seed: 0 } }\n  corpus',
    'params: { sed: 0 } }\n  corpus',
    /experiment\.yaml:4:45 data\.seed\.params\.sed: unknown key; the nearest is "seed"/,
  ],
  [
    'an unknown suite',
    'textworld.forward',
    'textworld.forwards',
    /experiment\.yaml:9:21 evaluation\.forward\.suite: .*the nearest is textworld\.forward/,
  ],
  [
    'something the recipe does not evaluate',
    '  forward: {',
    '  forwards: {',
    /experiment\.yaml:9:3 evaluation\.forwards: .*the nearest is "forward"/,
  ],
  ['a module that is not there', 'module.ts', 'modul.ts', /experiment\.yaml:2:11 modules\.0: cannot be loaded: /],
  [
    'a model folder that is not there',
    'base/rated',
    'base/none',
    /experiment\.yaml:7:17 models\.base\.path: .*base\/none is not a folder that can be read/,
  ],
  ['an alternative half given', 'path:', 'pth:', /experiment\.yaml:7:11 models\.base\.pth: unknown key; the nearest is "path"/],
  ['text that is not YAML', '  rounds: 2', '  rounds: [2', /experiment\.yaml:1[12]:\d+: flow sequence/],
  ['a key given twice', '  rounds: 2', '  rounds: 2\n  rounds: 3', /experiment\.yaml:12:3: map keys must be unique/],
  [
    'a prompt that is not registered',
    '  rounds: 2',
    '  prompts: { judge: textworld.rat }',
    /experiment\.yaml:11:21 parameters\.prompts\.judge: There is no prompt "textworld\.rat"; the nearest is textworld\.rate/,
  ],
];
for (const [title, from, to, says] of faults) {
  test(`${title} is named with file, line, column, path and what may have been meant`, async (t) => {
    t.true(sound.includes(from));
    t.regex(await fault(t, sound.replace(from, to)), says);
  });
}

test('all problems are listed, in the order of the file', async (t) => {
  const lines = (
    await fault(t, sound.replace('rounds: 2', 'rounds: two').replace('threshold: 4', 'treshold: 4').replace('path:', 'pth:'))
  ).split('\n');
  const places = lines.map((line) => Number(/\.yaml:(\d+)/.exec(line)?.[1]));
  t.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  t.true(new Set(places).size === 3);
});

test('--set changes one value, read as YAML, and a fault in it names it', async (t) => {
  const path = write(sound);
  t.like((await loadExperiment(path, ['parameters.rounds=3', 'parameters.arms=[random]'])).bound.parameters, {
    rounds: 3,
    arms: ['random'],
  });
  t.is((await loadExperiment(path, ['serving.slots=8'])).bound.serving.slots, 8);
  t.regex(
    await fault(t, sound, 'parameters.ronds=3'),
    /^--set parameters\.ronds=3 parameters\.ronds: unknown key; the nearest is "rounds"$/,
  );
  t.regex(await fault(t, sound, 'parameters.rounds'), /--set parameters\.rounds: a path and a value are needed/);
});

const twoTrainings = (sft: string) => sound.replace(/ {2}sft: .*\n/, '').replace('  rounds: 2', `  sft: ${sft}\n  rounds: 2`);

test('settings may have their names of TRL, PEFT and vLLM, and mean the same', async (t) => {
  const bound = async (text: string, ...sets: string[]) => (await loadExperiment(write(text), sets)).bound.parameters;
  const ours = `{ learningRate: 2.0e-5, length: { epochs: 2 }, maxTokens: 1024, schedule: cosine, warmup: 0.03, weightDecay: 0.1,
    betas: [0.9, 0.95], clip: 1, optimizer: adamw, lora: { rank: 8, alpha: 16, dropout: 0.05, targets: [q_proj] } }
  sampling: { backtranslate: { temperature: 0.7, topP: 0.9, maxTokens: 300 } }`;
  const theirs = `{ learning_rate: 2.0e-5, num_train_epochs: 2, max_length: 1024, lr_scheduler_type: cosine, warmup_ratio: 0.03,
    weight_decay: 0.1, adam_beta1: 0.9, adam_beta2: 0.95, max_grad_norm: 1, optim: adamw_torch,
    lora: { r: 8, lora_alpha: 16, lora_dropout: 0.05, target_modules: [q_proj] } }
  sampling: { backtranslate: { temperature: 0.7, top_p: 0.9, max_tokens: 300 } }`;
  t.deepEqual(await bound(twoTrainings(theirs)), await bound(twoTrainings(ours)));
  t.deepEqual(await bound(twoTrainings('{ adam_beta2: 0.95 }')), await bound(twoTrainings('{ betas: [0.9, 0.95] }')));
  t.deepEqual(await bound(sound, 'parameters.sft.max_steps=40'), await bound(sound, 'parameters.sft.length.steps=40'));
  const lora = (targets: string) => bound(twoTrainings(`{ lora: { rank: 8, alpha: 16${targets} } }`));
  t.deepEqual(await lora(', target_modules: all-linear'), await lora(''));
});

test('settings of TRL, LLaMA-Factory and axolotl are taken by their names, or answered with what to do in their place', async (t) => {
  const bound = async (sft: string) => (await loadExperiment(write(twoTrainings(sft)))).bound.parameters;
  const ours = await bound('{ maxTokens: 512, tooLong: fail, length: { epochs: 2 }, schedule: cosine }');
  t.deepEqual(await bound('{ sequence_len: 512, excess_length_strategy: raise, num_epochs: 2, lr_scheduler: cosine }'), ours);
  const faster = '{ packing: true, liger: true, optimizer: adamw-8bit, quantization: nf4, attention: flash-attention-2 }';
  const theirs = [
    '{ padding_free: true, use_liger_kernel: true, optim: adamw_bnb_8bit, quantization: nf4, attn_implementation: flash_attention_2 }',
    '{ neat_packing: true, enable_liger_kernel: true, optim: adamw_8bit, quantization_bit: 4, flash_attn: fa2 }',
    '{ sample_packing: true, liger: true, optimizer: adamw-8bit, load_in_4bit: true, flash_attention: true }',
  ];
  for (const one of theirs) t.deepEqual(await bound(one), await bound(faster), one);
  t.deepEqual(await bound('{ cutoff_len: 512, tooLong: fail, num_train_epochs: 2, lr_scheduler_type: cosine }'), ours);
  for (const [key, says] of [
    ['per_device_train_batch_size', /unknown key: `batch` counts the rows of all devices together; `microBatch` under `training`/],
    ['gradient_accumulation_steps', /unknown key: `batch` counts the rows of all devices together/],
    ['report_to', /unknown key: every step is kept beside the model/],
    ['deepspeed', /unknown key: `shard: fsdp2` under `training`.*; `engine: command` under `training` runs a trainer that has it/],
    ['full_determinism', /unknown key: `deterministic: true` under `training`/],
    ['label_smoothing', /unknown key: backspin's trainer has no such option/],
  ] as const)
    t.regex(await fault(t, twoTrainings(`{ ${key}: 1 }`)), says);
  t.regex(
    await fault(t, twoTrainings('{ lora: { r: 8, lora_alpha: 16, use_rslora: true } }')),
    /unknown key: an adapter is scaled by alpha \/ rank/,
  );
  t.regex(await fault(t, twoTrainings('{ constructor: 1 }')), /unknown key; /);
});

test('`arguments` is a block of settings by the names of SFTConfig and DPOConfig', async (t) => {
  const bound = async (sft: string) => (await loadExperiment(write(twoTrainings(sft)))).bound.parameters;
  const block = '{ warmup: 0.1, arguments: { learning_rate: 1.0e-5, num_train_epochs: 2, adam_beta2: 0.95, optim: adamw_torch, seed: 3 } }';
  const ours = '{ warmup: 0.1, learningRate: 1.0e-5, length: { epochs: 2 }, betas: [0.9, 0.95], optimizer: adamw, seed: 3 }';
  t.deepEqual(await bound(block), await bound(ours));
  t.deepEqual(await bound('{ arguments: {} }'), await bound('{}'));
  const says = async (expected: RegExp, sft: string) => t.regex(await fault(t, twoTrainings(sft)), expected);
  await says(
    /:11:23 parameters\.sft\.arguments\.report_to: unknown key: every step is kept beside the model/,
    '{ arguments: { report_to: wandb } }',
  );
  await says(/:11:23 parameters\.sft\.arguments\.nonsense: unknown key; /, '{ arguments: { nonsense: 1 } }');
  await says(/:11:38 parameters\.sft\.arguments\.learning_rate: is -1; more than 0 is needed$/, '{ arguments: { learning_rate: -1 } }');
  const both = '{ learningRate: 1.0e-5, arguments: { learning_rate: 2.0e-5 } }';
  await says(/:11:45 parameters\.sft\.arguments\.learning_rate: sets learningRate, which stands beside it: keep one$/, both);
  await says(/parameters\.sft\.arguments\.seed: sets seed, which stands beside it: keep one$/, '{ seed: 1, arguments: { seed: 2 } }');
  await says(/parameters\.sft\.arguments: unknown key/, '{ arguments: 3 }');
});

test('a fault in a setting with a name of TRL is reported by that name', async (t) => {
  const says = async (expected: RegExp, sft: string, ...sets: string[]) => t.regex(await fault(t, twoTrainings(sft), ...sets), expected);
  await says(/:11:25 parameters\.sft\.learning_rate: is -1; more than 0 is needed$/, '{ learning_rate: -1 }');
  await says(/:11:28 parameters\.sft\.num_train_epochs: is 0; more than 0/, '{ num_train_epochs: 0 }');
  await says(/:11:22 parameters\.sft\.adam_beta2: is 2; less than 1/, '{ adam_beta2: 2 }');
  await says(/:11:21 parameters\.sft\.lora\.r: is 0; at least 1/, '{ lora: { r: 0, lora_alpha: 16 } }');
  await says(/^--set parameters\.sft\.max_length=1 parameters\.sft\.max_length: is 1; at least 2/, '{}', 'parameters.sft.max_length=1');
  const both = '{ learningRate: 1.0e-5, learning_rate: 2.0e-5 }';
  await says(/:11:32 parameters\.sft\.learning_rate: sets learningRate, which stands beside it: keep one$/, both);
  await says(/:11:32 parameters\.sft\.num_train_epochs: sets length, /, '{ length: { steps: 9 }, num_train_epochs: 2 }');
});

test('a name of PEFT or vLLM outside of what it belongs to is an unknown key', async (t) => {
  t.regex(await fault(t, twoTrainings('{ lora_dropout: 0.1 }')), /parameters\.sft\.lora_dropout: unknown key/);
  t.regex(await fault(t, twoTrainings('{ top_p: 0.1 }')), /parameters\.sft\.top_p: unknown key/);
});

test('a role has what it says of its own, and all else from `serving`', async (t) => {
  const { bound } = await loadExperiment(write(`${sound}serving: { slots: 8, pool: big }\nroles: { scorer: { slots: 4 } }\n`));
  t.like(bound.roles['scorer'], { slots: 4, pool: 'big' });
});

test('a bound configuration can be changed and bound again, as a fork does', async (t) => {
  const { bound } = await loadExperiment(write(`${sound}roles: { scorer: { slots: 4 } }\n`));
  const again = await rebind(bound, ['parameters.keep.threshold=5', 'serving.pool=big'], 'child');
  t.deepEqual({ ...again.bound, name: bound.name, serving: bound.serving, roles: bound.roles, parameters: bound.parameters }, bound);
  t.like(again.bound, { name: 'child', parameters: { keep: { threshold: 5 } }, roles: { scorer: { slots: 4, pool: 'big' } } });
});

test('each dataset and model that a recipe knows can be named in an experiment file', (t) => {
  for (const [recipe, { data, models }] of Object.entries(recipeSchemas)) {
    const given = {
      recipe,
      data: Object.fromEntries(Object.keys(data).map((name) => [name, { source: 'std.table' }])),
      models: Object.fromEntries(Object.keys(models).map((name) => [name, 'some/model'])),
    };
    t.notThrows(() => experimentFile.parse(given), recipe);
  }
});
