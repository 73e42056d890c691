import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { file, root, temporary } from '../cli/cli.ts';

const world = join(root, 'examples/textworld');
const sound = `recipe: humpback
modules: [${world}/module.ts]
data:
  seed: { source: textworld.seed, params: { seed: 0 } }
  corpus: { source: textworld.corpus, params: { seed: 0 } }
models:
  base: { path: ${world}/base/rated }
evaluation:
  forward: { suite: textworld.forward, params: { seed: 0 } }
parameters:
  rounds: 2
  keep: { threshold: 4 }
`;
const write = (text: string) => file(temporary(), 'experiment.yaml', text);
const fault = async (t: import('ava').ExecutionContext, text: string, ...sets: string[]): Promise<string> => {
  const error = await t.throwsAsync(loadExperiment(write(text), sets));
  t.is(error.name, 'ConfigError');
  return error.message;
};

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

test('an encoder writes nothing: it needs neither chat template nor end token, but a vocabulary; and it is no base', async (t) => {
  const folder = temporary();
  cpSync(join(world, 'base/plain/model.safetensors'), join(folder, 'model.safetensors'));
  cpSync(join(world, 'base/plain/tokenizer.json'), join(folder, 'tokenizer.json'));
  file(folder, 'config.json', '{"architectures": ["BertModel"]}');
  file(folder, 'tokenizer_config.json', '{}');
  const given = (base: string) => `recipe: cycle-instruct
modules: [${world}/module.ts]
data: { documents: { source: textworld.corpus, params: { seed: 0 } } }
models: { base: { path: ${base} }, encoder: { path: ${folder} } }
`;
  const { bound } = await loadExperiment(write(given(join(world, 'base/plain'))));
  const { missing } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  t.regex(await fault(t, given(folder)), /models\.base\.path: the tokenizer in .* has no end token/);
  rmSync(join(folder, 'tokenizer.json'));
  t.regex(await fault(t, given(join(world, 'base/plain'))), /models\.encoder\.path: .* has no tokenizer\.json/);
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

test('a role has what it says of its own, and all else from `serving`', async (t) => {
  const { bound } = await loadExperiment(write(`${sound}serving: { slots: 8, pool: big }\nroles: { scorer: { slots: 4 } }\n`));
  t.like(bound.roles['scorer'], { slots: 4, pool: 'big' });
});

const judged = `${sound
  .replace('evaluation:', `  teacher: { path: ${world}/base/plain }\nevaluation:`)
  .replace(
    '{ suite: textworld.forward, params: { seed: 0 } }',
    '{ suite: back-and-forth.winRate, with: { judge: teacher }, params: { items: [{ instruction: Why?, reference: So. }] } }',
  )}roles: { judge: { slots: 4 } }\n`;

test('a suite has the models in its roles that the file casts, which the recipe need not know; so has its fork', async (t) => {
  const { bound } = await loadExperiment(write(judged));
  t.deepEqual(bound.evaluation['forward']!.with, { judge: 'teacher' });
  t.is(bound.roles['judge']!.slots, 4);
  t.deepEqual((await rebind(bound, [], 'child')).bound.evaluation, bound.evaluation);
  const { steps, missing } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  const measured = steps.find(({ path }) => path === 'evaluate-forward')!;
  t.true(measured.needs.includes('model-teacher'));
  t.is(measured.requests, 3);
});

test('a role of a suite without a model is named, and how to cast it', async (t) => {
  const bare = judged
    .replace(/ {2}teacher: .*\n/, '')
    .replace('with: { judge: teacher }, ', '')
    .replace(/roles: .*\n/, '');
  t.regex(
    await fault(t, bare),
    /9:3 evaluation\.forward: the suite back-and-forth\.winRate asks a model in the role judge: name it under `with`, as in with: \{ judge: base \}/,
  );
});

for (const [title, from, to, says] of [
  [
    'a role that its suite has not',
    '{ judge: teacher }',
    '{ judge: teacher, judges: teacher }',
    /with\.judges: .*casts no such role; the nearest is "judge"/,
  ],
  [
    'a model in the role that is measured',
    '{ judge: teacher }',
    '{ judge: teacher, model: base }',
    /with\.model: .*no such role, being what it measures/,
  ],
  [
    'a model that the file has not',
    '{ judge: teacher }',
    '{ judge: techer }',
    /with\.judge: there is no techer under `models`; the nearest is "teacher"/,
  ],
  [
    'a model in no role and for no recipe',
    'with: { judge: teacher }',
    'with: { judge: base }',
    /models\.teacher: the recipe humpback has no use for this/,
  ],
  ['a model that is called as a parameter is', /teacher/g, 'rounds', /models\.rounds: the recipe humpback has something else of this name/],
] as const)
  test(`${title} is refused, by name`, async (t) => t.regex(await fault(t, judged.replace(from, to)), says));

const python = join(import.meta.dirname, '../support/fake-vllm.mjs');
const engine = (line: string) => `${sound}serving: { ${line} }\n`;

test('the options of an engine are those of that engine', async (t) => {
  for (const [line, says] of [
    ['engine: vlm', /serving\.engine: is "vlm", which is none of embedded, vllm; the nearest is "vllm"/],
    ['tensorParallel: 2', /serving\.tensorParallel: it does not go with the other keys/],
    ['engine: vllm, threads: 1', /serving\.threads: it does not go with the other keys/],
    ['engine: vllm, arguments: { port: 1 }', /arguments\.port: the key does not fit: --port is for backspin to set$/],
    ['engine: vllm, arguments: { max-num-seqs: 1 }', /--max-num-seqs is for backspin to set: use `slots`/],
    ['engine: vllm, arguments: { max_num_seqs: 1 }', /written without dashes before it and with hyphens in it/],
  ] as const)
    t.regex(await fault(t, engine(line)), says);
});

test('vLLM is bound to the version that is here; where there is none, its absence is said at once, with both remedies', async (t) => {
  const { bound } = await loadExperiment(write(engine(`engine: vllm, python: ${python}`)));
  t.like(bound.serving, { engine: 'vllm', version: '0.0.1', dtype: 'bfloat16' });
  const fork = await rebind(bound, [], 'child');
  t.deepEqual(fork.bound.serving, bound.serving);
  t.regex(
    await fault(t, engine('engine: vllm, python: /nowhere/python')),
    /serving\.engine: \/nowhere\/python has no vLLM .*install it there.*Or say its `version`/,
  );
  const elsewhere = await loadExperiment(write(engine('engine: vllm, version: 0.33.0')));
  t.like(elsewhere.bound.serving, { version: '0.33.0', python: null });
});

test('a role of another engine inherits only what both have', async (t) => {
  const { bound } = await loadExperiment(
    write(`${engine(`engine: vllm, python: ${python}, slots: 8, pool: big`)}roles: { scorer: { engine: embedded, threads: 2 } }\n`),
  );
  t.deepEqual(bound.roles['scorer'], { engine: 'embedded', pool: 'big', slots: 8, replicas: 1, threads: 2 });
  t.deepEqual((await rebind(bound, [], 'child')).bound.roles, bound.roles);
});

test('a bound configuration can be changed and bound again, as a fork does', async (t) => {
  const { bound } = await loadExperiment(write(`${sound}roles: { scorer: { slots: 4 } }\n`));
  const again = await rebind(bound, ['parameters.keep.threshold=5', 'serving.pool=big'], 'child');
  t.deepEqual({ ...again.bound, name: bound.name, serving: bound.serving, roles: bound.roles, parameters: bound.parameters }, bound);
  t.like(again.bound, { name: 'child', parameters: { keep: { threshold: 5 } }, roles: { scorer: { slots: 4, pool: 'big' } } });
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
  ['tokenizer', (folder) => rmSync(join(folder, 'tokenizer.json')), /has no tokenizer\.json/],
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
  [
    'system turn',
    (folder) =>
      writeFileSync(
        join(folder, 'chat_template.jinja'),
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% elif m['role'] == 'assistant' %}{{ '>' + m['content'] + eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}",
      ),
    /leaves out the turns of the system/,
  ],
];
const edit = (folder: string, name: string, change: (text: string) => string) =>
  writeFileSync(join(folder, name), change(readFileSync(join(folder, name), 'utf8')));
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
