import { cpSync, existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { stepsOf } from '../../steps/work.ts';
import { poolMemoryFile, poolsFile } from '../../steps/machine.ts';
import type { StepMiss } from '../../schemas/steps.ts';
import { faultsOf, plan } from '../../plan/planner.ts';
import { resolve as resolveStep } from '../../steps/resolve.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { moduleDigest } from '../../steps/registry.ts';
import { operators, type Dataset, type Metrics, type Model, type Recipe, type Suite, type Tagged } from '../../recipe/index.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import type { StepCall, Result } from '../../schemas/call.ts';
import { runInMemory } from '../../recipe/memory.ts';
import type { Plan } from '../../schemas/plan.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { backspin, temporary } from '../cli/cli.ts';

const file = resolve(import.meta.dirname, '../support/miniature.yaml');

test('a low-rank adapter takes the room of its rows and columns', async (t) => {
  const bytes = async (lora: string) => {
    const { stdout } = await backspin(temporary(), ['plan', file, '--json', '--set', `parameters.sft.lora=${lora}`]);
    return (JSON.parse(stdout) as Plan).steps.find(({ path }) => path === 'r1/forward')!.bytes;
  };
  t.is(await bytes('{ rank: 8, alpha: 16, targets: [q_proj, down_proj] }'), 4 * 8 * 4 * (160 + 160 + 448 + 160));
  t.true((await bytes('null'))! > 5_000_000);
});

test('a model that would be asked in another form than it is trained in fails the plan', async (t) => {
  const home = temporary();
  const { code, stdout } = await backspin(home, ['plan', file, '--set', 'parameters.prompts.backtranslate=textworld.answer']);
  t.is(code, 1);
  t.regex(stdout, /Step backtranslate asks the model in the role "backward" by the prompt textworld\.answer, which is for models trained/);
  t.is((await backspin(home, ['plan', file])).code, 0);
});

test('a source that fails ends the plan with its sentence, also where two entries of `data` are the same', async (t) => {
  const home = temporary();
  const module = `import { source } from 'backspin';\nimport { z } from 'zod';\nexport const namespace = 'broken';\nexport const pairs = source({ version: 1, output: z.object({ text: z.string() }), *rows() { throw new Error('no pair today'); } });\n`;
  writeFileSync(join(home, 'broken.ts'), module);
  writeFileSync(
    join(home, 'broken.yaml'),
    `recipe: humpback\nmodules: [broken.ts]\ndata: { seed: { source: broken.pairs }, corpus: { source: broken.pairs } }\nmodels: { base: { path: ${resolve(file, '../../../examples/textworld/base/rated')} } }\nparameters: { rounds: 1, keep: { threshold: 5 }, sft: { maxTokens: 256 } }\n`,
  );
  const { code, stderr } = await backspin(home, ['plan', 'broken.yaml']);
  t.is(code, 1);
  t.is(stderr, 'The source broken.pairs failed (no pair today): mend it, or give it other parameters.\n');
});

test('a launch finds what a plan finds, however many rounds there are, and reads no large file for it', async (t) => {
  const { compare } = operators<typeof import('../support/toy.ts')>('toy');
  const duo: Recipe<{ numbers: Dataset<{ n: number }>; speaker: Model; other: Model }, { data: Dataset<unknown> }> = async (
    run,
    config,
  ) => {
    const { numbers, speaker, other } = config;
    let data: Dataset<unknown> = numbers;
    for await (const round of run.rounds(5)) data = await round.map(compare, numbers, { with: { speaker, other }, as: 'ask' });
    return { data };
  };
  Object.assign(recipes, { duo });
  const [module, base] = ['../support/toy.ts', '../../examples/textworld/base/rated'].map((path) => resolve(import.meta.dirname, path));
  const serving = { pool: 'cpu', engine: 'embedded', slots: 8, threads: 1, maxModelLength: null, replicas: 1 } as const;
  const bound: BoundConfig = {
    name: 'duo',
    recipe: 'duo',
    seed: 0,
    modules: [{ path: module!, digest: await moduleDigest(module!) }],
    serving,
    roles: { other: { ...serving, pool: 'gpu' } },
    training: { pool: 'cpu', threads: 1 },
    evaluation: {},
    models: { speaker: { path: base! }, other: { path: base! } },
    data: { numbers: { source: 'toy.numbers', params: { count: 3 }, folder: '/' } },
    parameters: {},
  };
  const home = temporary();
  const services = await openServices(home);
  const faults = await faultsOf(services, bound);
  t.false(existsSync(join(home, 'digests')));
  const { missing } = await plan(services, bound);
  t.deepEqual(faults, missing.slice(0, 2));
  t.regex(faults[0]!, /^Step r1\/ask casts models of the pools cpu and gpu: a step holds one lease of one pool/);
  t.is(missing.length, 5);
  t.deepEqual(await faultsOf(services, { ...bound, roles: {} }), []);
  const solo: typeof duo = async (run, { numbers, speaker }) => ({ data: await run.map(compare, numbers, { with: { speaker } as never }) });
  Object.assign(recipes, { solo });
  t.deepEqual(await faultsOf(services, { ...bound, recipe: 'solo', roles: {} }), [
    'Step compare: toy.compare asks a model in the role "other", and none is cast in it: the recipe, or the evaluation in the experiment file, names one under `with`.',
  ]);
});

/** A model without weights, which a plan does not read. */
const encoderFolder = (model_type: 'bert' | 'llama', architecture: string): string => {
  const folder = temporary();
  cpSync(resolve(import.meta.dirname, '../../examples/textworld/tokenizer'), folder, { recursive: true });
  const shape = { hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 8, vocab_size: 1280 };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type, architectures: [architecture], ...shape }));
  return folder;
};

test('a tagger is planned on the training pool, with as many sentences as its test set has; of a decoder, or under the suite of another kind of model, it fails the plan', async (t) => {
  const { tagging } = operators<typeof import('../../operators/eval/index.ts')>('eval');
  type Config = { readonly sentences: Dataset<Tagged>; readonly encoder: Model<'encoder'> };
  const training = {
    objective: 'tagger',
    learningRate: 1e-3,
    length: { epochs: 2 },
    batch: 4,
    maxTokens: 8,
    lora: null,
    adapter: 'merge',
  } as const;
  const students: Recipe<Config, { student: Model<'tagger'> }> = async (run, { sentences, encoder }) => {
    const student = run.train('student', { ...training, from: encoder, data: sentences });
    void run.evaluate(student, tagging, { params: { test: sentences } });
    return { student: await student };
  };
  const confused: typeof students = async (run, { sentences, encoder }) => {
    const student = run.train('student', { ...training, from: encoder, data: sentences });
    const ifeval: Suite<'lm', Metrics> = { id: 'eval.ifeval' };
    void run.evaluate(student as Promise<unknown> as Promise<Model>, ifeval, { as: 'asked' });
    void run.evaluate(encoder as unknown as Model<'tagger'>, tagging, { params: { test: sentences }, as: 'tagged' });
    return { student: await student };
  };
  Object.assign(recipes, { students, confused });
  const toy = resolve(import.meta.dirname, '../support/toy.ts');
  const bound = async (recipe: string, encoder: string): Promise<BoundConfig> => ({
    name: recipe,
    recipe,
    seed: 0,
    modules: [{ path: toy, digest: await moduleDigest(toy) }],
    serving: { pool: 'cpu', engine: 'embedded', slots: 8, threads: 1, maxModelLength: null, replicas: 1 },
    roles: {},
    training: { pool: 'gpu', threads: 1 },
    evaluation: {},
    models: { encoder: { path: encoder } },
    data: { sentences: { source: 'toy.sentences', params: {}, folder: '/' } },
    parameters: {},
  });
  const services = await openServices(temporary());
  const sound = await plan(services, await bound('students', encoderFolder('bert', 'BertModel')));
  t.deepEqual(sound.missing, []);
  const step = (path: string) => sound.steps.find((step) => step.path === path)!;
  t.like(step('student'), { in: 8, trainingSteps: 4, pool: 'gpu' });
  t.like(step('tagging'), { in: 8, requests: 0, pool: 'gpu', needs: ['student', 'data-sentences'] });

  const [decoder, ...others] = (await plan(services, await bound('students', encoderFolder('llama', 'LlamaForCausalLM')))).missing;
  t.regex(decoder!, /^Step student: The model in .* is of type llama, and a tagger is made of an encoder, which reads a sentence in both/);
  t.deepEqual(others, []);
  const { missing } = await plan(services, await bound('confused', encoderFolder('bert', 'BertModel')));
  t.true(missing.some((one) => one.startsWith('Step asked uses a tagger, which only its evaluation can, and a map by a labeler alone')));
  t.true(missing.some((one) => one.startsWith('Step tagged evaluates by eval.tagging, which is for taggers, and its model is none')));
});

test('a training that the device groups of its pool cannot share fails the plan', async (t) => {
  const home = temporary();
  const missing = async (groups: readonly (readonly number[])[], ...settings: readonly string[]) => {
    writeFileSync(poolMemoryFile(home), JSON.stringify({ cpu: groups }));
    const set = settings.flatMap((one) => ['--set', one]);
    const { stdout } = await backspin(home, ['plan', file, '--json', ...set]);
    return (JSON.parse(stdout) as Plan).missing.filter((one) => one.startsWith('Step backward:'));
  };
  const GB = 1e9;
  t.deepEqual(await missing([[GB, GB]], 'training.shard=fsdp2'), []);
  t.regex(
    (await missing([[GB]], 'training.shard=fsdp2'))[0]!,
    /`shard: fsdp2` .* needs several devices in a group, and the pool "cpu" has a group of one/,
  );
  t.regex((await missing([[]], 'training.shard=fsdp2'))[0]!, /has a group of none/);
  t.regex(
    (await missing([[GB, GB, GB]], 'parameters.sft.batch=8'))[0]!,
    /its batch of 8 rows cannot be shared by the 3 devices of a group/,
  );
  t.regex(
    (await missing([[GB, GB]], 'training.shard=fsdp2', 'parameters.sft.optimizer=muon'))[0]!,
    /cannot divide a training with `optimizer: muon`/,
  );
});

test('a plan, the worker that opens a step and the one that carries it out name it alike; on another kind of device it is another step', async (t) => {
  const home = temporary();
  const folder = temporary();
  const tokenizer = resolve(import.meta.dirname, '../../examples/textworld/tokenizer');
  writeFileSync(join(folder, 'text.jsonl'), '{"text": "one"}\n{"text": "two"}\n');
  const yaml = `recipe: pretrain
training: { pool: gpu }
data: { text: { source: std.table, params: { path: text.jsonl, fields: { text: text } } } }
models: { base: { init: { tokenizer: ${tokenizer}, seed: 0, architecture: { hiddenSize: 8, layers: 1, heads: 1, headSize: 8, kvHeads: 1, mlp: 8, context: 32, tied: true, std: 0.02 } } } }
parameters: { lm: { learningRate: 1e-3, length: { steps: 1 }, batch: 1, maxTokens: 8 } }
`;
  writeFileSync(join(folder, 'experiment.yaml'), yaml);
  const { bound } = await loadExperiment(join(folder, 'experiment.yaml'));
  const { seed, modules, serving, roles, training } = bound;
  const context = { experiment: bound.name, seed, modules, serving, roles, training, external: [] };
  const named = async () => {
    const services = await openServices(home); // each worker has its own
    const steps = stepsOf(services);
    let call: StepCall | undefined;
    const engine = async (one: StepCall): Promise<Result> => {
      if (one.verb !== 'train')
        return (await steps.compute(one, context, { signal: new AbortController().signal, heartbeat: () => {} })).result;
      call = one;
      throw new Error('not trained');
    };
    await t.throwsAsync(runInMemory(recipes['pretrain']!, bound, engine), { message: 'not trained' });
    const planned = (await plan(await openServices(home), bound)).steps.find(({ path }) => path === 'base')!.stepKey;
    const opened = (await stepsOf(await openServices(home)).open(call!, context)) as StepMiss;
    const resolved = await resolveStep(call!, context, await services.registry(modules), services.machine);
    t.is(planned, opened.stepKey);
    t.is(planned, resolved.stepKey);
    return planned;
  };
  const unknown = await named();
  const of = async (device: string) => {
    writeFileSync(poolsFile(home), JSON.stringify({ gpu: device }));
    return named();
  };
  t.is(await of('cpu'), unknown);
  t.is(new Set([unknown, await of('cuda 8.0'), await of('cuda 9.0')]).size, 3);
});
