import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { file, root, temporary } from '../cli/cli.ts';
import { fault, sound, world, write } from './written.ts';

test('an encoder writes nothing: it needs neither chat template nor end token, but a vocabulary; and it is no base', async (t) => {
  const folder = temporary();
  cpSync(join(world, 'base/plain/model.safetensors'), join(folder, 'model.safetensors'));
  cpSync(join(world, 'base/plain/tokenizer.json'), join(folder, 'tokenizer.json'));
  file(
    folder,
    'config.json',
    '{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1}',
  );
  file(folder, 'tokenizer_config.json', '{}');
  const given = (base: string) => `recipe: cycle-instruct
modules: [${world}/module.ts]
data: { documents: { source: textworld.corpus, params: { seed: 0 } } }
models: { base: { path: ${base} }, encoder: { path: ${folder} } }
parameters: { sft: { maxTokens: 256 } }
`;
  const { bound } = await loadExperiment(write(given(join(world, 'base/plain'))));
  const { missing } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  t.regex(await fault(t, given(folder)), /models\.base\.path: the tokenizer in .* has no end token/);
  rmSync(join(folder, 'tokenizer.json'));
  t.regex(await fault(t, given(join(world, 'base/plain'))), /models\.encoder\.path: .* has no tokenizer\.json/);
});

test('an end token that special_tokens_map.json or the config alone names is one, as that of GPT-2', async (t) => {
  const folder = join(temporary(), 'model');
  cpSync(join(world, 'base/rated'), folder, { recursive: true });
  const given = write(sound.replace(`${world}/base/rated`, folder));
  writeFileSync(join(folder, 'tokenizer_config.json'), '{}');
  await t.notThrowsAsync(loadExperiment(given));
  edit(folder, 'config.json', (text) => JSON.stringify({ ...(JSON.parse(text) as object), eos_token_id: null }));
  await t.throwsAsync(loadExperiment(given), { message: /has no end token/ });
  writeFileSync(join(folder, 'special_tokens_map.json'), '{"eos_token": {"content": "<|end|>"}, "bos_token": "<|doc|>"}');
  await t.notThrowsAsync(loadExperiment(given));
});

test("a chat template in a file takes the place of the model's own; other words are another model", async (t) => {
  const template = (words: string) =>
    `{{ bos_token }}{% for message in messages %}{{ '${words} ' + message.role + message.content + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '${words} assistant' }}{% endif %}`;
  const services = await openServices(temporary());
  const planned = async (words?: string) => {
    const path = write(words === undefined ? sound : sound.replace('base/rated }', `base/rated, chatTemplate: chat.jinja }`));
    if (words !== undefined) file(dirname(path), 'chat.jinja', template(words));
    const { bound } = await loadExperiment(path);
    const { steps, missing } = await plan(services, bound);
    t.deepEqual(missing, []);
    return steps.find((step) => step.path === 'model-base')!.stepKey;
  };
  const keys = [await planned(), await planned('one'), await planned('two'), await planned('one')];
  t.is(new Set(keys).size, 3);
  t.is(keys[1], keys[3]);
});

const scorer = '  scorer: { external: { model: judge-1, revision: "1", url: "https://api.example.com/v1/", key: { file: key.txt } } }\n';
const withScorer = sound.replace('evaluation:', `${scorer}evaluation:`);

test('an external model is bound with its limits, the address that stands before /v1 and the path of its key', async (t) => {
  const path = write(withScorer);
  const { bound } = await loadExperiment(path);
  t.deepEqual(bound.models['scorer'], {
    external: {
      model: 'judge-1',
      revision: '1',
      url: 'https://api.example.com',
      key: { file: join(dirname(path), 'key.txt') },
      inFlight: 64,
      requestsPerMinute: null,
      tokensPerMinute: null,
      tolerance: 0.1,
    },
  });
});

test('the external model of the documents is one', async (t) => {
  const [, block] = /```yaml\n(models:\n  scorer:.*?)```/s.exec(readFileSync(join(root, 'docs/operating.md'), 'utf8'))!;
  const { models } = parse(block!) as { models: { scorer: object } };
  const { bound } = await loadExperiment(write(sound), [`models.scorer=${JSON.stringify(models.scorer)}`]);
  t.like(bound.models['scorer'], { external: { model: 'judge-large', revision: '2026-03', requestsPerMinute: 500 } });
});

for (const [title, from, to, says] of [
  ['a key itself', '{ file: key.txt }', 'sk-1', /models\.scorer\.external\.key: /],
  ['an address with a key in it', 'api.example', 'me:sk-1@api.example', /models\.scorer\.external\.url: .*without a key/],
  ['no revision', 'revision: "1", ', '', /models\.scorer\.external\.revision: is missing/],
] as const) {
  test(`of an external model ${title} is refused`, async (t) => {
    t.regex(await fault(t, withScorer.replace(from, to)), says);
  });
}

test('one external model has one server', async (t) => {
  const twin = scorer.replace('scorer', 'base').replace('example.com', 'example.org');
  t.regex(
    await fault(t, withScorer.replace(/ {2}base: .*\n/, twin)),
    /models\.scorer\.external: is model and revision of models\.base too; one model has one server here/,
  );
});

test('a plan says that an external model can be neither trained nor exported, and asks nobody', async (t) => {
  const base = scorer.replace('scorer', 'base');
  const { bound } = await loadExperiment(write(sound.replace(/ {2}base: .*\n/, base)));
  const { missing, steps } = await plan(await openServices(temporary()), bound);
  t.true(missing.includes('Step backward: the model judge-1 is external: its weights are not here, so it cannot be trained.'));
  t.is(steps.find(({ path }) => path === 'model-base')!.bytes, 0);

  const sharp = await loadExperiment(write(withScorer));
  const planned = await plan(await openServices(temporary()), sharp.bound);
  t.deepEqual(planned.missing, []);
  t.deepEqual(
    planned.steps.filter(({ name }) => name === 'judge').map(({ pool }) => pool),
    [null, null],
  );
});

const parts: readonly (readonly [title: string, harm: (folder: string) => void, says: RegExp])[] = [
  ['config.json', (folder) => rmSync(join(folder, 'config.json')), /has no config\.json/],
  ['weights', (folder) => rmSync(join(folder, 'model.safetensors')), /has no weights/],
  [
    'index of its shards',
    (folder) => renameSync(join(folder, 'model.safetensors'), join(folder, 'model-00001-of-00001.safetensors')),
    /has neither model\.safetensors nor model\.safetensors\.index\.json, which says what is in model-00001-of-00001\.safetensors/,
  ],
  [
    'base, beside an adapter',
    (folder) => renameSync(join(folder, 'config.json'), join(folder, 'adapter_config.json')),
    /is an adapter; give the model that `merge_and_unload` of PEFT makes/,
  ],
  ['tokenizer', (folder) => rmSync(join(folder, 'tokenizer.json')), /has no tokenizer\.json/],
  [
    'tokenizer.json beside its tokenizer.model',
    (folder) => renameSync(join(folder, 'tokenizer.json'), join(folder, 'tokenizer.model')),
    /has no tokenizer\.json; .*save_pretrained\(folder\)/,
  ],
  ['chat template', (folder) => rmSync(join(folder, 'chat_template.jinja')), /chat template in .* is missing/],
  [
    'generation prompt',
    (folder) => edit(folder, 'chat_template.jinja', (text) => text.replaceAll('add_generation_prompt', 'false')),
    /has no generation prompt/,
  ],
  [
    'end of a turn',
    (folder) => edit(folder, 'chat_template.jinja', (text) => text.replaceAll('<|end|>', '')),
    /does not end a turn with the end token <\|end\|>/,
  ],
];
const edit = (folder: string, name: string, change: (text: string) => string) =>
  writeFileSync(join(folder, name), change(readFileSync(join(folder, name), 'utf8')));
test('a chat template without system turns is no reason to refuse a model', async (t) => {
  const folder = join(temporary(), 'model');
  cpSync(join(world, 'base/rated'), folder, { recursive: true });
  writeFileSync(
    join(folder, 'chat_template.jinja'),
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% elif m['role'] == 'assistant' %}{{ '>' + m['content'] + eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}",
  );
  await t.notThrowsAsync(loadExperiment(write(sound.replace(`${world}/base/rated`, folder))));
});
test('a turn may end with any token that generation_config.json lists, as the turns of Gemma do', async (t) => {
  const folder = join(temporary(), 'model');
  cpSync(join(world, 'base/rated'), folder, { recursive: true });
  edit(folder, 'chat_template.jinja', (text) => text.replaceAll('<|end|>', '<|doc|>'));
  const given = sound.replace(`${world}/base/rated`, folder);
  await t.throwsAsync(loadExperiment(write(given)), {
    message: /does not end a turn with the end token <\|end\|>.*; set endToken: '<\|doc\|>', which it writes there/,
  });
  const named = (token: string) => loadExperiment(write(given.replace(`${folder} }`, `${folder}, endToken: '${token}' }`)));
  t.like((await named('<|doc|>')).bound.models['base'], { endToken: '<|doc|>' });
  await t.throwsAsync(named('<|none|>'), { message: /models\.base\.endToken: the tokenizer in .* has no token <\|none\|>/ });
  const { added_tokens } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as {
    added_tokens: readonly { readonly id: number; readonly content: string }[];
  };
  const { id } = added_tokens.find(({ content }) => content === '<|doc|>')!;
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id: [1, id] }));
  await t.notThrowsAsync(loadExperiment(write(given)));
});
for (const [part, harm, says] of parts) {
  test(`a model folder without its ${part} is refused, and the part is named`, async (t) => {
    const folder = join(temporary(), 'model');
    mkdirSync(folder);
    cpSync(join(world, 'base/rated'), folder, { recursive: true });
    await t.notThrowsAsync(loadExperiment(write(sound.replace(`${world}/base/rated`, folder))));
    harm(folder);
    t.regex(await fault(t, sound.replace(`${world}/base/rated`, folder)), says);
  });
}

test('a system turn is bound; where the chat template renders none it is refused', async (t) => {
  const turns = `{% for message in messages %}{{ message.role + message.content + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant' }}{% endif %}`;
  const given = (template: string) => {
    const path = write(sound.replace('base/rated }', `base/rated, chatTemplate: chat.jinja, system: '' }`));
    file(dirname(path), 'chat.jinja', template);
    return path;
  };
  t.like((await loadExperiment(given(turns))).bound.models['base'], { system: '' });
  const strict = `{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}${turns}`;
  await t.throwsAsync(loadExperiment(given(strict)), { name: 'ConfigError', message: /models\.base\.chatTemplate: .*no system turns/ });
});

test('arguments of a chat template are bound; a variable that the template does not read, or that backspin sets, is refused', async (t) => {
  const template = `{% for message in messages %}{{ message.role + message.content + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant' }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}`;
  const given = (values: string) => {
    const path = write(sound.replace('base/rated }', `base/rated, chatTemplate: chat.jinja, chatTemplateArguments: { ${values} } }`));
    file(dirname(path), 'chat.jinja', template);
    return path;
  };
  const { bound } = await loadExperiment(given('enable_thinking: true'));
  t.like(bound.models['base'], { chatTemplateArguments: { enable_thinking: true } });
  const says = async (values: string) => (await t.throwsAsync(loadExperiment(given(values)), { name: 'ConfigError' })).message;
  t.regex(
    await says('enabel_thinking: true'),
    /models\.base\.chatTemplateArguments\.enabel_thinking: the chat template .*chat\.jinja does not read this/,
  );
  t.regex(await says('tokenize: true'), /chatTemplateArguments: .*backspin sets messages, .*tokenize, return_dict itself/);
  t.regex(await says('enable_thinking: false'), /models\.base\.chatTemplate: .*has no generation prompt.*; repair it/);
});

test('a thinking template that is sound without thoughts is refused with the argument that turns them off', async (t) => {
  const template = `{% for message in messages %}{{ message.role }}{% if message.role == 'assistant' %}<think></think>{% endif %}{{ message.content + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant' }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}`;
  const path = (more: string) => {
    const written = write(sound.replace('base/rated }', `base/rated, chatTemplate: chat.jinja${more} }`));
    file(dirname(written), 'chat.jinja', template);
    return written;
  };
  await t.throwsAsync(loadExperiment(path('')), {
    message: /models\.base\.chatTemplate: .*; set chatTemplateArguments: \{ enable_thinking: false \}, under which it is sound/,
  });
  await t.notThrowsAsync(loadExperiment(path(', chatTemplateArguments: { enable_thinking: false }')));
});
