/** Datasets by the names that they have on the Hugging Face Hub. */
import { rmSync } from 'node:fs';
import test from 'ava';
import { loadExperiment } from '../../experiments/config.ts';
import { recipeInputs } from '../../recipe/inputs.ts';
import { RecipeRuntime, type StepEngine } from '../../recipe/runtime.ts';
import type { DatasetRef, StepCall } from '../../schemas/call.ts';
import type { Plan } from '../../schemas/plan.ts';
import { openServices } from '../../steps/services.ts';
import { stepsOf } from '../../steps/work.ts';
import { file } from '../cli/cli.ts';
import { base, experiment, hubHome } from '../support/hub-home.ts';
import { context } from '../support/keys.ts';

const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const pairs = Array.from({ length: 6 }, (_, n) => ({ instruction: `What is ${n} and ${n}?`, input: '', output: `It is ${2 * n}.` }));
const files = {
  'README.md':
    '---\nconfigs:\n- config_name: short\n  data_files: [{ split: train, path: short.jsonl }, { split: test, path: test.jsonl }]\n- config_name: all\n  data_files: "*.jsonl"\n---\n',
  'short.jsonl': lines(pairs.slice(0, 4)),
  'test.jsonl': lines(pairs.slice(4)),
};
const seedOf = (params: string) => `{ source: std.hub, params: { repository: toy/pairs, format: alpaca, ${params} } }`;
const short = seedOf('config: short');

test.serial('a plan resolves a dataset to a commit, reads it, and keys the step by it', async (t) => {
  const { hub, home, run } = await hubHome(t);
  const commit = hub.publish('datasets', 'toy/pairs', files);
  const planned = async (seed: string) => {
    file(home, 'experiment.yaml', experiment(`{ path: ${base} }`, seed));
    const { code, stdout, stderr } = await run('plan', 'experiment.yaml', '--json');
    t.is(code, 0, stderr);
    const { origins, steps } = JSON.parse(stdout) as Plan;
    return { origins, step: steps.find(({ path }) => path === 'data-seed')! };
  };
  const first = await planned(short);
  t.deepEqual(first.origins[1], { name: 'seed', from: `toy/pairs of the Hub at main, commit ${commit}` });
  t.is(first.step.kept, 4);
  hub.publish('datasets', 'toy/pairs', { ...files, 'short.jsonl': lines(pairs) });
  const second = await planned(short);
  t.is(second.step.kept, 6);
  t.not(second.step.stepKey, first.step.stepKey);
  t.is((await planned(seedOf('files: "t*.jsonl"'))).step.kept, 2);
});

test.serial('its rows are read as those of files, with their places; afterwards nothing needs the Hub', async (t) => {
  const { hub, home, env } = await hubHome(t);
  Object.assign(process.env, env);
  hub.publish('datasets', 'toy/pairs', files);
  const yaml = file(home, 'experiment.yaml', experiment(`{ path: ${base} }`, short));
  let services = await openServices(home);
  const read = async () => {
    const { bound } = await loadExperiment(yaml);
    let seed: StepCall | undefined;
    const perform: StepEngine['perform'] = async (call) => {
      if (call.path === 'data-seed') seed = call;
      return { kind: 'model', digest: call.path };
    };
    await recipeInputs(new RecipeRuntime({ perform, shared: () => {} } as unknown as StepEngine), bound);
    const beat = { signal: new AbortController().signal, heartbeat: () => {} };
    return stepsOf(services).compute(seed!, { ...context, modules: bound.modules }, beat);
  };
  const { result, stepKey } = await read();
  const rows = [];
  for await (const { value } of services.store.read(result as DatasetRef)) rows.push(value);
  t.deepEqual(
    rows,
    pairs.slice(0, 4).map(({ instruction, output }) => ({ instruction, response: output })),
  );
  const { origins } = (await services.store.output(stepKey))!;
  const places = [];
  for await (const { value } of services.store.read(origins!)) places.push(value);
  t.deepEqual(places.slice(0, 2), ['toy/pairs/short.jsonl:1', 'toy/pairs/short.jsonl:2']);
  await hub.close();
  t.deepEqual((await read()).result, result, 'from the store');
  rmSync(services.store.root, { recursive: true });
  services = await openServices(home);
  t.deepEqual((await read()).result, result, 'from the cache');
});

test.serial('documents are read from the Hub too', async (t) => {
  const { hub, home, run } = await hubHome(t);
  const text = `# Numbers\n\n${Array.from({ length: 40 }, (_, n) => `The ${n}th of these sentences tells of the number ${n * n}.`).join(' ')}\n`;
  hub.publish('datasets', 'toy/texts', { 'data/train-00000-of-00001.jsonl': lines([{ text }]) });
  file(
    home,
    'experiment.yaml',
    experiment(`{ path: ${base} }`).replace(/corpus: .*/, 'corpus: { source: std.documents, params: { hub: { repository: toy/texts } } }'),
  );
  const { code, stdout, stderr } = await run('plan', 'experiment.yaml', '--json');
  t.is(code, 0, stderr);
  t.is((JSON.parse(stdout) as Plan).steps.find(({ path }) => path === 'data-corpus')!.kept, 1);
});

for (const [what, params, says] of [
  ['no such dataset', 'repository: toy/none', /:4:\d+ data\.seed\.params: There is no dataset toy\/none at http:\S+ that is open to you/],
  ['no such split', 'repository: toy/pairs, config: short, split: dev', /The dataset toy\/pairs has no split dev, but train, test\./],
  [
    'no such revision',
    'repository: toy/pairs, revision: v2',
    /The dataset toy\/pairs has no revision v2: give a branch, a tag or a commit/,
  ],
  ['no table', 'repository: toy/pictures', /The dataset toy\/pictures has no .* data\.tar/],
  [
    'files and a configuration',
    'repository: toy/pairs, config: short, files: a.jsonl',
    /data\.seed\.params\.files: .*`files` names the files; leave `config` out/,
  ],
] as const)
  test.serial(`a plan refuses with a sentence: ${what}`, async (t) => {
    const { hub, home, env } = await hubHome(t);
    Object.assign(process.env, env);
    hub.publish('datasets', 'toy/pairs', files);
    hub.publish('datasets', 'toy/pictures', { 'data.tar': 'x' });
    const yaml = file(home, 'experiment.yaml', experiment(`{ path: ${base} }`, `{ source: std.hub, params: { ${params} } }`));
    const error = await t.throwsAsync(loadExperiment(yaml), { name: 'ConfigError' });
    t.regex(error.message, says);
  });
