/** Models by the names that they have on the Hugging Face Hub, as `plan` meets them. */
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Plan } from '../../schemas/plan.ts';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { base, experiment, hubHome } from '../support/hub-home.ts';
import { file, temporary } from '../cli/cli.ts';
import { home as completed } from '../cli/completed.ts';

const whole = Object.fromEntries(readdirSync(base).map((name) => [name, readFileSync(join(base, name))]));
const downloads = (paths: readonly { readonly path: string; readonly method: string }[]) =>
  paths.filter(({ method }) => method === 'GET').map(({ path }) => path.replace(/.*\/resolve\/[^/]+\//, ''));

test.serial('a plan resolves a name to a commit, which it shows, and downloads no weights and nothing that is not used', async (t) => {
  const { hub, home, plan, run } = await hubHome(t);
  const unused = {
    'README.md': 'A model.',
    'onnx/model.onnx': 'weights',
    'checkpoint-5/model.safetensors': 'weights',
    'original/x.pth': 'weights',
  };
  const commit = hub.publish('models', 'toy/base', { ...whole, ...unused });
  const { code, stdout, stderr } = await plan('toy/base');
  t.is(code, 0, stderr + stdout);
  t.true(stdout.includes(`Models and data by name:\n  base: toy/base of the Hub at main, commit ${commit}\n`));
  t.deepEqual(
    downloads(hub.seen.filter(({ path }) => path.includes('/resolve/'))).toSorted(),
    readdirSync(base).filter((name) => name !== 'model.safetensors'),
  );
  const planned = JSON.parse((await run('plan', 'experiment.yaml', '--json')).stdout) as Plan;
  t.true(planned.steps.find(({ path }) => path === 'model-base')!.bytes! > 5_900_000, 'its weights count');
  t.false(JSON.stringify(planned).includes(home), 'no path of the cache is in a plan');
});

test.serial('the key of the step is that of the commit: of a tag and of main the same, of other files another', async (t) => {
  const { hub, home, env } = await hubHome(t);
  Object.assign(process.env, env);
  const services = await openServices(temporary());
  const keyOf = async (model: string) => {
    const { bound } = await loadExperiment(file(home, 'experiment.yaml', experiment(model)));
    return (await plan(services, bound)).steps.find(({ path }) => path === 'model-base')!.stepKey;
  };
  const commit = hub.publish('models', 'toy/base', base, 'main', 'v1');
  const key = await keyOf('toy/base');
  t.is(await keyOf('{ hub: toy/base, revision: v1 }'), key);
  t.is(await keyOf(`{ hub: toy/base, revision: ${commit} }`), key);
  const other = join(temporary(), 'other');
  cpSync(base, other, { recursive: true });
  writeFileSync(join(other, 'more.json'), '{}');
  hub.publish('models', 'toy/base', other);
  t.not(await keyOf('toy/base'), key);
  t.is(await keyOf('{ hub: toy/base, revision: v1 }'), key);
  writeFileSync(join(home, 'chat.jinja'), readFileSync(join(base, 'chat_template.jinja'), 'utf8') + '{# mine #}');
  t.not(await keyOf('{ hub: toy/base, revision: v1, chatTemplate: chat.jinja }'), key);
});

test.serial('a folder at that path is taken rather than the Hub, and the plan says so', async (t) => {
  const { hub, home, plan } = await hubHome(t);
  hub.publish('models', 'toy/base', base);
  mkdirSync(join(home, 'toy'));
  cpSync(base, join(home, 'toy/base'), { recursive: true });
  const { code, stdout } = await plan('toy/base');
  t.is(code, 0);
  t.true(stdout.includes(`Models and data by name:\n  base: the folder ${home}/toy/base\n`));
  t.deepEqual(hub.seen, []);
});

test.serial('without a network a plan answers from the Hub’s cache', async (t) => {
  const { hub, plan, env } = await hubHome(t);
  const commit = hub.publish('models', 'toy/base', base);
  t.is((await plan('toy/base')).code, 0);
  await hub.close();
  const { code, stdout, stderr } = await plan('toy/base');
  t.is(code, 0, stderr);
  t.true(stdout.includes(commit));
  env['HF_HUB_OFFLINE'] = '1';
  t.is((await plan('toy/base')).code, 0);
});

test.serial('a model that was launched, and is neither in the store nor within reach now, is missing in the plan', async (t) => {
  const { hub, home, plan, env } = await hubHome(t);
  const commit = hub.publish('models', 'toy/base', base);
  const config = { data: {}, models: { base: { hub: 'toy/base', revision: 'main', commit } } };
  await completed({ name: 'experiment', config }, home);
  t.is((await plan('toy/base')).code, 0);
  await hub.close();
  rmSync(env['HF_HOME']!, { recursive: true });
  const { code, stdout } = await plan('toy/base');
  t.is(code, 1);
  t.regex(stdout, /Missing:\n {2}Step model-base: The Hub at \S+ cannot be reached/);
});

test.serial('of a cache that another program filled in part, a plan without a network says so', async (t) => {
  const { hub, plan, env } = await hubHome(t);
  const commit = hub.publish('models', 'toy/base', base);
  t.is((await plan('toy/base')).code, 0);
  const cached = join(env['HF_HOME']!, 'hub/models--toy--base');
  rmSync(join(cached, 'trees'), { recursive: true });
  cpSync(join(base, 'model.safetensors'), join(cached, 'snapshots', commit, 'model.safetensors'));
  Object.assign(env, { HF_HUB_OFFLINE: '1' });
  t.is((await plan('toy/base')).code, 0, 'all files are there');
  rmSync(join(cached, 'snapshots', commit, 'model.safetensors'));
  t.regex((await plan('toy/base')).stderr, /only a part of toy\/base is in the Hub's cache .*, and the Hub cannot be asked for the rest/);
});

test.serial('a snapshot folder of the Hub’s cache is a model folder, links and all; links elsewhere are refused', async (t) => {
  const { hub, plan, env } = await hubHome(t);
  const commit = hub.publish('models', 'toy/base', base);
  await plan('toy/base');
  const snapshot = join(env['HF_HOME']!, 'hub/models--toy--base/snapshots', commit);
  cpSync(join(base, 'model.safetensors'), join(snapshot, 'model.safetensors'));
  const { code, stdout, stderr } = await plan(`{ path: ${snapshot} }`);
  t.is(code, 0, stderr);
  t.true(stdout.includes(`base: the folder ${snapshot}`));
  const elsewhere = temporary();
  for (const name of readdirSync(snapshot)) symlinkSync(join(snapshot, name), join(elsewhere, name));
  t.regex((await plan(`{ path: ${elsewhere} }`)).stderr, /\.jinja links to what is not in its folder/);
});

test.serial('the token and the endpoint reach the Hub, the token no other host', async (t) => {
  const { hub, plan, env } = await hubHome(t);
  hub.publish('models', 'toy/base', { ...whole, 'vocab.json': 'x'.repeat(2 ** 21) });
  env['HF_TOKEN'] = 'hf_secret';
  t.is((await plan('toy/base')).code, 0);
  const apart = hub.seen.filter(({ path }) => path.startsWith('/cdn/'));
  t.true(apart.length > 0 && apart.every(({ authorization }) => authorization === undefined));
  t.true(hub.seen.filter(({ path }) => !path.startsWith('/cdn/')).every(({ authorization }) => authorization === 'Bearer hf_secret'));
});

const refusals: readonly (readonly [what: string, model: string, says: RegExp, env?: NodeJS.ProcessEnv])[] = [
  [
    'no such model',
    'toy/none',
    /:7:9 models\.base: There is no model toy\/none at http:\S+ that is open to you: check its name\. .* HF_TOKEN .* There is no folder .*\/toy\/none either\./,
  ],
  [
    'no such revision',
    '{ hub: toy/base, revision: v9 }',
    /models\.base\.hub: The model toy\/base has no revision v9: give a branch, a tag or a commit/,
  ],
  [
    'a gated model',
    '{ hub: toy/gated }',
    /Access to the model toy\/gated is restricted: ask for it at http:\S+\/toy\/gated, then log in with `hf auth login`/,
  ],
  ['a token without rights', '{ hub: toy/forbidden }', /refuses the model toy\/forbidden to your token \(403\)/],
  ['no name', '{ hub: a b }', /'a b' cannot be on the Hub: a name is owner\/name/],
  [
    'a Hub that is down',
    '{ hub: toy/down }',
    /The Hub at http:\S+ cannot be reached \(it answers 503\): check the network and HF_ENDPOINT/,
  ],
  ['no weights', '{ hub: toy/bare }', /toy\/bare has no weights that can be trained; safetensors or pytorch_model\.bin are needed/],
  [
    'GGUF files alone',
    '{ hub: toy/gguf }',
    /toy\/gguf holds GGUF files only; name one of them \(model-Q4_K_M\.gguf\) as `file` beside `hub`, or give the folder of the model/,
  ],
  ['a GGUF file that is not there', './model.gguf', /there is no file .*model\.gguf/],
  ['a shard too few', '{ hub: toy/torn }', /has no b\.safetensors, which .*index\.json names/],
  [
    'no chat template',
    '{ hub: toy/mute }',
    /models\.base\.hub: the chat template in .* is missing; name a file with another as `chatTemplate`/,
  ],
  [
    'a path that is a name',
    '{ path: toy/base }',
    /toy\/base is not a folder that can be read; .*, or \{ hub: toy\/base \} for a model on the Hub/,
  ],
  [
    'offline, and nowhere in the cache',
    '{ hub: toy/base }',
    /The model toy\/base at main is not whole in the Hub's cache \(.*\), and HF_HUB_OFFLINE is set: unset it once/,
    { HF_HUB_OFFLINE: '1' },
  ],
];
for (const [what, model, says, more] of refusals)
  test.serial(`a plan refuses with a sentence: ${what}`, async (t) => {
    const { hub, home, env } = await hubHome(t);
    Object.assign(process.env, { HF_HUB_OFFLINE: '0', ...env, ...more });
    const small = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== 'model.safetensors'));
    const { 'chat_template.jinja': _, ...mute } = small;
    const index = JSON.stringify({ weight_map: { a: 'a.safetensors', b: 'b.safetensors' } });
    for (const name of ['base', 'gated', 'forbidden', 'down']) hub.publish('models', `toy/${name}`, base);
    hub.publish('models', 'toy/bare', small);
    hub.publish('models', 'toy/gguf', { 'README.md': '', 'model-Q4_K_M.gguf': 'GGUF' });
    hub.publish('models', 'toy/torn', { ...small, 'a.safetensors': 'x', 'model.safetensors.index.json': index });
    hub.publish('models', 'toy/mute', { ...mute, 'model.safetensors': 'x' });
    hub.fault = ({ path }) => {
      if (path.startsWith('/toy/gated/')) return { status: 403, code: 'GatedRepo' };
      if (path.includes('toy/forbidden')) return { status: 403 };
      return path.includes('toy/down') ? { status: 503 } : undefined;
    };
    const error = await t.throwsAsync(loadExperiment(file(home, 'experiment.yaml', experiment(model))));
    t.is(error.name, 'ConfigError');
    t.regex(error.message, says);
  });
