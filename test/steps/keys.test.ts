import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { call, dataset, keyOf, machine, model, registryOf, resolved } from '../support/keys.ts';
import { aboutModel, newStore } from '../support/store.ts';
import { reduceStep } from '../../steps/reduce.ts';
import type { Sampling } from '../../recipe/index.ts';
import { FileDigests } from '../../store/digests.ts';
import { modelParts } from '../../store/models.ts';

// ───────────────────────────── models that are brought in ─────────────────────────────

const files = {
  'config.json': '{}',
  'model.safetensors': 'weights',
  'first.json': 'a',
  'second.json': 'b',
  '1_Pooling/config.json': '{"mean": true}',
};
async function folderOf(more: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
  for (const [name, text] of Object.entries({ ...files, ...more })) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  await symlink('first.json', join(folder, 'link.json'));
  return folder;
}
const imported = (path: string, more = {}) => call('reduce', 'model:path', { path, ...more });

test('a model that is brought in is another step once a nested file, a name or the aim of a link is another, just as it is another model', async (t) => {
  const store = await newStore();
  const seen = async (path: string) => [await keyOf(imported(path)), (await store.putModel(path, aboutModel)).digest];
  const before = await seen(await folderOf());
  t.deepEqual(await seen(await folderOf()), before, 'wherever it lies');
  const changes: ((folder: string) => Promise<unknown>)[] = [
    (folder) => writeFile(join(folder, '1_Pooling/config.json'), '{"mean": false}'),
    (folder) => rename(join(folder, 'second.json'), join(folder, 'third.json')),
    async (folder) => {
      await rm(join(folder, 'link.json'));
      await symlink('second.json', join(folder, 'link.json'));
    },
    (folder) => writeFile(join(folder, '1_Pooling/more.json'), ''),
  ];
  const all = [before];
  for (const change of changes) {
    const folder = await folderOf();
    await change(folder);
    all.push(await seen(folder));
  }
  for (const side of [0, 1]) t.is(new Set(all.map((one) => one[side])).size, all.length);
});

test('what no program reads to serve a model is neither in the key of its step nor in the model', async (t) => {
  const store = await newStore();
  const plain = await folderOf();
  const more = await folderOf({
    '.git/lfs/objects': 'weights',
    '.gitattributes': '*',
    'README.md': 'A model.',
    LICENSE: 'Take it.',
    'original/consolidated.00.pth': 'weights',
    'pytorch_model.bin': 'weights',
  });
  t.is(await keyOf(imported(more)), await keyOf(imported(plain)));
  t.deepEqual(await store.putModel(more, aboutModel), await store.putModel(plain, aboutModel));
  await rm(join(more, 'model.safetensors'));
  t.not(await keyOf(imported(more)), await keyOf(imported(plain)), 'without safetensors the others are its weights');
  const names = (await store.model(await store.putModel(more, aboutModel))).files.map(({ name }) => name);
  t.true(names.includes('pytorch_model.bin'));
});

test('of weights that stand in a folder twice those are taken that its index names, and a plan can say what is left out', async (t) => {
  const index = JSON.stringify({ weight_map: { a: 'model-00001-of-00001.safetensors' } });
  const twice = await folderOf({
    'model.safetensors.index.json': index,
    'model-00001-of-00001.safetensors': 'weights',
    'consolidated.safetensors': 'weights',
    'tf_model.h5': 'weights',
    'onnx/model.onnx': 'weights',
    'model.Q4.gguf': 'weights',
    '2_Dense/pytorch_model.bin': 'other weights',
    '.git/config': '',
  });
  await rm(join(twice, 'model.safetensors'));
  const { taken, leftOut } = await modelParts(twice);
  t.deepEqual([...leftOut].sort(), ['.git/config', 'consolidated.safetensors', 'model.Q4.gguf', 'onnx/model.onnx', 'tf_model.h5']);
  t.true('2_Dense/pytorch_model.bin' in taken && 'model-00001-of-00001.safetensors' in taken && 'model.safetensors.index.json' in taken);
  await writeFile(join(twice, 'model.safetensors.index.json'), '{"weight_map": {"a": "gone.safetensors"}}');
  t.true('consolidated.safetensors' in (await modelParts(twice)).taken, 'an index that names what is not there decides nothing');
  const variant = await folderOf({ 'model.fp16.safetensors': 'weights', 'adapter_model.safetensors': 'an adapter' });
  t.deepEqual((await modelParts(variant)).leftOut, ['model.fp16.safetensors']);
});

test('a model whose files change between its key and its copy is not brought in under that key', async (t) => {
  const store = await newStore();
  const folder = await folderOf();
  const before = await resolved(imported(folder));
  const { registry } = before;
  const bring = () => reduceStep({ store, registry, resolved: before, seed: 0, signal: new AbortController().signal });
  await writeFile(join(folder, '1_Pooling/config.json'), 'changed meanwhile');
  await t.throwsAsync(bring(), { name: 'ConfigError', message: /The files of .* changed while they were read/ });
  t.is(await store.output(before.stepKey), undefined);
  await writeFile(join(folder, '1_Pooling/config.json'), files['1_Pooling/config.json']);
  await t.notThrowsAsync(bring());
});

test('a chat template from a file is the one that counts, not the one in the folder', async (t) => {
  const template = join(await folderOf({ mine: 'mine' }), 'mine');
  const [one, other] = [await folderOf({ 'chat_template.jinja': 'one' }), await folderOf({ 'chat_template.jinja': 'other' })];
  t.not(await keyOf(imported(one)), await keyOf(imported(other)));
  const key = await keyOf(imported(one, { chatTemplate: template }));
  t.is(await keyOf(imported(other, { chatTemplate: template })), key);
  await writeFile(template, 'yours');
  t.not(await keyOf(imported(one, { chatTemplate: template })), key);
});

test('the tokenizer of a model that is to be made is in the key of its step with its nested files, but not weights beside it', async (t) => {
  const made = (tokenizer: string) => call('reduce', 'model:init', { tokenizer, architecture: { layers: 1 }, seed: 0 });
  const key = await keyOf(made(await folderOf()));
  t.is(await keyOf(made(await folderOf({ 'model.safetensors': 'others' }))), key);
  t.not(await keyOf(made(await folderOf({ '1_Pooling/config.json': 'other' }))), key);
});

test('the bytes of a large file are read again only once it has changed; what a crash left of the memory is no memory', async (t) => {
  const [folder, memory] = [await folderOf(), await mkdtemp(join(tmpdir(), 'backspin-'))];
  const path = join(folder, 'model.safetensors');
  await writeFile(path, Buffer.alloc(2 ** 20, 1));
  const later = () => new FileDigests(memory, () => Date.now() + 60_000);
  const digest = await later().of(path);
  t.is((await readdir(memory)).length, 1);
  const [entry] = await readdir(memory);
  const written = await readFile(join(memory, entry!), 'utf8');
  await writeFile(join(memory, entry!), written.replace(digest, 'as it was remembered'));
  t.is(await later().of(path), 'as it was remembered');
  await writeFile(join(memory, entry!), written.slice(0, 40));
  t.is(await later().of(path), digest);
  await writeFile(path, Buffer.alloc(2 ** 20, 2));
  t.not(await later().of(path), digest);
  await chmod(path, 0o600);
  await rm(join(memory, entry!));
  await new FileDigests(memory).of(path);
  t.deepEqual(await readdir(memory), [], 'what has just changed may change again within a tick of the clock');
});

// ───────────────────────────── what computes ─────────────────────────────

const settings = {
  objective: 'sft',
  from: model('a'),
  data: dataset('b'),
  learningRate: 1e-3,
  length: { steps: 2 },
  batch: 1,
  maxTokens: 8,
  lora: null,
  adapter: 'merge',
};
const training = (more = {}) => call('train', 'sft', { ...settings, ...more });
const clusters = call('reduce', 'std.cluster', {
  inputs: { of: dataset('b'), encoder: model('a') },
  params: { on: 'text', clusters: 2 },
});
const scoring = call('map', 'musc.measureConfidence', {
  over: dataset('b'),
  with: { self: model('a') },
  params: { prompts: { respond: 'musc.respond' }, unconditional: false },
});
const asking = (sampling: Sampling = { temperature: 0, maxTokens: 8 }) =>
  call('map', 'humpback.backtranslate', {
    over: dataset('b'),
    with: { backward: model('a') },
    params: { prompt: 'humpback.backward', sampling },
  });

test('what a chat template takes beside the turns is in the key of a step that samples', async (t) => {
  const keys = [undefined, { enable_thinking: false }, { enable_thinking: true }, { enable_thinking: true, effort: 'low' }].map((kwargs) =>
    keyOf(asking({ temperature: 0, maxTokens: 8, ...(kwargs && { chatTemplateKwargs: kwargs }) })),
  );
  t.is(new Set(await Promise.all(keys)).size, 4);
  await t.throwsAsync(keyOf(asking({ temperature: 0, maxTokens: 8, chatTemplateKwargs: { tokenize: true } })), {
    message: /backspin sets .*tokenize/,
  });
});

test('code and packages of the trainer are in the keys of trainings, embeddings, offline scoring and replies of the embedded server, and in no other', async (t) => {
  const other = machine({ trainer: (verb) => Promise.resolve({ code: verb, torch: '2' }) });
  for (const one of [training(), clusters, scoring, asking()]) t.not(await keyOf(one, { machine: other }), await keyOf(one), one.operation);
  const select = call('reduce', 'std.select', { inputs: { of: dataset('b') }, params: {} });
  t.is(await keyOf(select, { machine: other }), await keyOf(select));
  const vllm = { engine: 'vllm', pool: 'gpu', slots: 8, replicas: 1, python: null, version: '1', dtype: 'bfloat16' } as const;
  const served = { serving: { ...vllm, maxModelLength: null, tensorParallel: 1, dataParallel: 1, arguments: {} } };
  t.is(await keyOf(asking(), { ...served, machine: other }), await keyOf(asking(), served));
});

test('a verb of the trainer is in the keys of its own steps alone', async (t) => {
  const steps = { train: training(), embed: clusters, score: scoring, serve: asking() };
  for (const changed of Object.keys(steps)) {
    const other = machine({ trainer: (verb) => Promise.resolve({ code: verb === changed ? 'new' : verb, torch: '1' }) });
    for (const [verb, one] of Object.entries(steps))
      t.is((await keyOf(one, { machine: other })) === (await keyOf(one)), verb !== changed, `${changed} in ${verb}`);
  }
});

test('the kind of device is in the key of what a pool computes, the number of threads where that is a CPU; on CUDA it is sampled', async (t) => {
  const cuda = machine({ device: (pool) => (pool === 'gpu' ? 'cuda 9.0' : 'cpu') });
  const on = (pool: string, threads: number) => ({ training: { pool, threads }, machine: cuda });
  for (const one of [training(), clusters, scoring]) {
    const keys = [on('cpu', 1), on('cpu', 3), on('gpu', 1)].map((given) => keyOf(one, given));
    t.is(new Set(await Promise.all(keys)).size, 3, one.operation);
    t.is(await keyOf(one, on('gpu', 3)), await keyOf(one, on('gpu', 1)));
    t.is(await keyOf(one, { training: { pool: 'another', threads: 1 } }), await keyOf(one), 'the name of a pool is no part of it');
    t.is((await resolved(one, on('gpu', 1))).determinism, 'sampled');
  }
  t.deepEqual(await Promise.all([training(), clusters, scoring].map(async (one) => (await resolved(one)).determinism)), [
    'seeded',
    'seeded',
    'exact',
  ]);
});

test('a setting of a training that is written down as it would be anyway makes no other step; any other does', async (t) => {
  const key = await keyOf(training());
  const defaults = {
    schedule: 'linear',
    warmup: 0,
    weightDecay: 0,
    betas: [0.9, 0.999],
    dropout: 0,
    optimizer: 'adamw',
    seed: 0,
    repeat: 0,
  };
  t.is(await keyOf(training(defaults)), key);
  t.is(await keyOf(training({ learningRate: { from: 1e-3, to: 0 } })), key);
  const others = [{ warmup: 0.1 }, { schedule: 'cosine' }, { seed: 1 }, { repeat: 1 }, { length: { steps: 3 } }, { unheardOf: true }];
  for (const more of others) t.not(await keyOf(training(more)), key, JSON.stringify(more));
  t.not(await keyOf(training(), { seed: 1 }), key);
});

// ───────────────────────────── the seed ─────────────────────────────

test('the demonstrations that MuSC draws are of a seed, at temperature 0 too', async (t) => {
  const params = { prompts: { decompose: 'musc.takeApart' }, sampling: { temperature: 0, maxTokens: 8 }, demos: dataset('c') };
  const decompose = call('map', 'musc.decompose', { over: dataset('b'), with: { self: model('a') }, params });
  t.not(await keyOf(decompose, { seed: 1 }), await keyOf(decompose));
  t.is((await resolved(decompose)).determinism, 'seeded');
  t.is(await keyOf(asking(), { seed: 1 }), await keyOf(asking()), 'who draws nothing has no seed');
});

// ───────────────────────────── chains, parameters, prompts ─────────────────────────────

const chain = (more: object = {}, params: object = {}, last: object = {}) =>
  call('map', 'mine.first>mine.second', {
    over: dataset('b'),
    with: { one: model('a'), other: model('c'), ...last },
    params: { prompts: { ask: 'mine.wording' }, by: 2, ...params },
    ...more,
  });
const operators = `
  const value = z.object({ n: z.number() });
  const wording = (text) => b.prompt({ version: 1, render: () => ({ text }) });
  export const wordings = wording('a'), wording_ = wording('b');
  export { wordings as wording, wording_ as other };
  export const first = b.operator({ version: 1, input: value, output: value, roles: ['one'], capabilities: ['chat'], stochastic: () => false,
    params: z.object({ prompts: z.object({ ask: z.string() }) }), run: (n) => b.keep(n) });
  export const second = b.operator({ version: 1, input: value, output: value, roles: ['other'], capabilities: ['chat'],
    params: z.object({ by: z.number() }), run: (n) => b.keep(n) });
  export const bare = b.operator({ version: 1, input: value, output: value, run: (n) => b.keep(n) });
  export const hidden = b.operator({ version: 1, input: value, output: value, params: z.object({ judge: z.string() }), run: (n) => b.keep(n) });`;

test('the beginning of a chain is the same step whoever a later operator asks, whatever its parameters and limits are, and as if it stood alone', async (t) => {
  const registry = await registryOf(operators);
  const keys = async (one: ReturnType<typeof call>) => (await resolved(one, { registry })).chain.map(({ stepKey }) => stepKey);
  const [first, second] = await keys(chain());
  const others = [
    chain({}, {}, { other: model('d') }),
    chain({}, { by: 3 }),
    chain({ until: { kept: 5 } }),
    chain({ quorum: 0.5 }),
    chain({}, { demos: dataset('e') }),
  ];
  for (const one of others) t.is((await keys(one))[0], first);
  for (const one of others.slice(0, 4)) t.not((await keys(one))[1], second);
  const [alone] = await keys({ ...chain(), operation: 'mine.first', inputs: { ...chain().inputs, with: { one: model('a') } } });
  t.is(alone, first);
  t.not((await keys(chain({}, { prompts: { ask: 'mine.other' } })))[0], first);
  t.not((await keys(chain({}, {}, { one: model('d') })))[0], first);
});

test('an operator that declares no parameters has none of those of its chain', async (t) => {
  const registry = await registryOf(operators);
  const bare = async (by: number) => {
    const { chain: links } = await resolved(call('map', 'mine.bare>mine.second', { over: dataset('b'), with: {}, params: { by } }), {
      registry,
    });
    return links[0]!;
  };
  t.is((await bare(2)).stepKey, (await bare(3)).stepKey);
  t.deepEqual((await bare(2)).params, {});
});

test('the version of a prompt is in the key, whatever the parameter is called that names it', async (t) => {
  const registry = await registryOf(operators);
  const { versions } = await resolved(call('map', 'mine.hidden', { over: dataset('b'), params: { judge: 'mine.wording' } }), { registry });
  t.deepEqual(versions, { 'mine.hidden': 1, 'mine.wording': 1 });
});
