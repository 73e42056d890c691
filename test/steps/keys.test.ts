import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { sha256 } from '../../schemas/canonical.ts';
import { promptId } from '../../steps/prompt-files.ts';
import { loadRegistry } from '../../steps/registry.ts';
import { call, dataset, keyOf, machine, model, registryOf, resolved } from '../support/keys.ts';
import type { Sampling } from '../../recipe/index.ts';

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
const tagging = call('evaluate', 'eval.tagging', { of: model('a'), params: { test: dataset('b') } });
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

test('the text of a prompt file is in the key of a step that asks by it, and the place of the file is not', async (t) => {
  const key = async (path: string, text: string) => {
    const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
    await writeFile(join(folder, path), text);
    const digest = sha256(text);
    const registry = await loadRegistry([{ path: join(folder, path), digest }]);
    return keyOf(
      call('map', 'humpback.backtranslate', {
        over: dataset('b'),
        with: { backward: model('a') },
        params: { prompt: promptId(digest), sampling: { temperature: 0, maxTokens: 8 } },
      }),
      { registry },
    );
  };
  const text = '{% user %}What was asked? {{ text }}{% enduser %}';
  t.is(await key('ask.jinja', text), await key('other.jinja', text));
  t.not(await key('ask.jinja', text), await key('ask.jinja', `${text} `));
});

test('code and packages of the trainer are in the keys of trainings, embeddings, offline scoring, tagging and replies of the embedded server, and in no other', async (t) => {
  const other = machine({ trainer: (verb) => Promise.resolve({ code: verb, torch: '2' }) });
  for (const one of [training(), clusters, scoring, tagging, asking()])
    t.not(await keyOf(one, { machine: other }), await keyOf(one), one.operation);
  const select = call('reduce', 'std.select', { inputs: { of: dataset('b') }, params: {} });
  t.is(await keyOf(select, { machine: other }), await keyOf(select));
  const vllm = { engine: 'vllm', pool: 'gpu', slots: 8, replicas: 1, python: null, version: '1', dtype: 'bfloat16' } as const;
  const served = { serving: { ...vllm, maxModelLength: null, tensorParallel: 1, dataParallel: 1, arguments: {} } };
  t.is(await keyOf(asking(), { ...served, machine: other }), await keyOf(asking(), served));
});

test('a verb of the trainer is in the keys of its own steps alone', async (t) => {
  const steps = { train: training(), embed: clusters, score: scoring, tag: tagging, serve: asking() };
  for (const changed of Object.keys(steps)) {
    const other = machine({ trainer: (verb) => Promise.resolve({ code: verb === changed ? 'new' : verb, torch: '1' }) });
    for (const [verb, one] of Object.entries(steps))
      t.is((await keyOf(one, { machine: other })) === (await keyOf(one)), verb !== changed, `${changed} in ${verb}`);
  }
});

test('a training command is in the key of trainings alone, with its configuration and the version of its program, and is sampled', async (t) => {
  const by = (version: string, text: string | null, program = 'axolotl') => ({
    training: { pool: 'cpu', threads: 1, command: { run: [program], config: text === null ? null : { path: '/sft.yaml', text }, version } },
  });
  const keys = [by('1', 'a'), by('2', 'a'), by('1', 'b'), by('1', null), by('1', 'a', 'trl')].map((given) => keyOf(training(), given));
  t.is(new Set([await keyOf(training()), ...(await Promise.all(keys))]).size, 6);
  const elsewhere = {
    training: { pool: 'gpu', threads: 7, command: { ...by('1', 'a').training.command, config: { path: '/b', text: 'a' } } },
  };
  t.is(await keyOf(training(), elsewhere), await keys[0]!);
  t.is(await keyOf(clusters, by('1', 'a')), await keyOf(clusters));
  t.is((await resolved(training(), by('1', 'a'))).determinism, 'sampled');
  t.is((await resolved(clusters, by('1', 'a'))).determinism, 'seeded');
});

test('the kind of device is in the key of what a pool computes, the number of threads where that is a CPU; on CUDA it is sampled', async (t) => {
  const cuda = machine({ device: (pool) => (pool === 'gpu' ? 'cuda 9.0' : 'cpu') });
  const on = (pool: string, threads: number) => ({ training: { pool, threads }, machine: cuda });
  for (const one of [training(), clusters, scoring, tagging]) {
    const keys = [on('cpu', 1), on('cpu', 3), on('gpu', 1)].map((given) => keyOf(one, given));
    t.is(new Set(await Promise.all(keys)).size, 3, one.operation);
    t.is(await keyOf(one, on('gpu', 3)), await keyOf(one, on('gpu', 1)));
    t.is(await keyOf(one, { training: { pool: 'another', threads: 1 } }), await keyOf(one), 'the name of a pool is no part of it');
    t.is(await keyOf(one, { training: { pool: 'cpu', threads: 1, microBatch: 2 } }), await keyOf(one), 'nor is the micro-batch');
    t.is((await resolved(one, on('gpu', 1))).determinism, 'sampled');
  }
  const repeatable = { training: { pool: 'gpu', threads: 1, deterministic: true }, machine: cuda };
  t.is((await resolved(training(), repeatable)).determinism, 'seeded', 'unless it asks for algorithms that repeat');
  t.is((await resolved(clusters, repeatable)).determinism, 'sampled');
  t.not(await keyOf(training(), repeatable), await keyOf(training(), on('gpu', 1)));
  t.deepEqual(await Promise.all([training(), clusters, scoring, tagging].map(async (one) => (await resolved(one)).determinism)), [
    'seeded',
    'seeded',
    'exact',
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
    clip: 1,
    dropout: 0,
    optimizer: 'adamw',
    packing: false,
    attention: 'sdpa',
    loss: 'sigmoid',
    sft: 0,
    seed: 0,
    repeat: 0,
  };
  t.is(await keyOf(training(defaults)), key);
  t.not(await keyOf(training({ learningRate: { from: 1e-3, to: 0 } })), key, 'a plain number is 0 only after the last step');
  const others = [
    { warmup: 0.1 },
    { schedule: 'cosine' },
    { seed: 1 },
    { repeat: 1 },
    { length: { steps: 3 } },
    { loss: 'ipo' },
    { packing: true },
    { clip: null },
    { sft: 0.5 },
    { loss: 'simpo', gamma: 1 },
    { unheardOf: true },
  ];
  for (const more of others) t.not(await keyOf(training(more)), key, JSON.stringify(more));
  t.not(await keyOf(training(), { seed: 1 }), key);
  const simpo = await keyOf(training({ loss: 'simpo' }));
  t.is(await keyOf(training({ loss: 'simpo', gamma: 0.5 })), simpo);
  t.not(await keyOf(training({ loss: 'simpo', gamma: 1 })), simpo);
});

test('the share of held-out rows is in the key, and when they are measured only where that may end the training', async (t) => {
  const by = (evaluate?: object) => keyOf(training(evaluate && { evaluate }));
  const share = await by({ share: 0.1 });
  t.is(await by({ share: 0.1, every: 5 }), share);
  const others = [
    undefined,
    { share: 0.2 },
    { share: 0.1, patience: 2 },
    { share: 0.1, patience: 3 },
    { share: 0.1, patience: 2, every: 5 },
  ];
  t.is(new Set([share, ...(await Promise.all(others.map(by)))]).size, 6);
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
