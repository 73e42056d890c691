/** The step that imports a model from a GGUF file, and the plan before it. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { smallFilesOf } from '../../devices/gguf.ts';
import { pythonOf } from '../../devices/python.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { faultsOf, plan } from '../../plan/planner.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { HubModel } from '../../schemas/config.ts';
import { resolve as resolveStep } from '../../steps/resolve.ts';
import { openServices } from '../../steps/services.ts';
import { stepsOf } from '../../steps/work.ts';
import { file as written, temporary } from '../cli/cli.ts';
import { base, experiment as yaml, hubHome } from '../support/hub-home.ts';
import { call, context } from '../support/keys.ts';

const experiment = resolve(import.meta.dirname, '../support/miniature.yaml');
const folder = temporary();
const file = join(folder, 'model.gguf');
test.before(() => {
  const { python, trainerPath } = pythonOf();
  const script = `import sys; from pathlib import Path; from test_gguf import library, write_gguf
write_gguf(Path(sys.argv[1]), Path(sys.argv[2]), library.GGMLQuantizationType.F32)`;
  const env = { ...process.env, PYTHONPATH: `${trainerPath}:${join(trainerPath, 'tests')}` };
  execFileSync(python, ['-c', script, base, file], { env, stdio: 'pipe' });
});
const beat = { signal: new AbortController().signal, heartbeat: () => {} };

test.serial('a file is planned like a folder, and a folder that holds one file is that file', async (t) => {
  const services = await openServices(temporary());
  const { bound } = await loadExperiment(experiment, [`models.base=${file}`]);
  const { missing, steps } = await plan(services, bound);
  t.deepEqual(missing, []);
  const bytes = steps.find(({ path }) => path === 'model-base')!.bytes!;
  t.true(bytes > 5_000_000 && bytes < 7_000_000, `${bytes} bytes of weights`);
  t.deepEqual((await loadExperiment(experiment, [`models.base=${folder}`])).bound.models, bound.models);
  t.regex(
    (await faultsOf(services, (await loadExperiment(experiment, [`models.base=${file}`, 'parameters.sft.maxTokens=4096'])).bound)).join(),
    /context is 256/,
  );
});

test.serial('what cannot be converted is refused in the file, with the way out', async (t) => {
  const broken = join(temporary(), 'broken.gguf');
  writeFileSync(broken, readFileSync(file).subarray(0, 300));
  await t.throwsAsync(loadExperiment(experiment, [`models.base=${broken}`]), {
    message: /models\.base: Cannot read the GGUF file .*broken\.gguf/,
  });
  await t.throwsAsync(loadExperiment(experiment, ['models.base=./none.gguf']), { message: /there is no file .*none\.gguf/ });
  const two = temporary();
  for (const name of ['a.gguf', 'b.gguf']) copyFileSync(file, join(two, name));
  await t.throwsAsync(loadExperiment(experiment, [`models.base={ path: ${two} }`]), { message: /holds 2 GGUF files; give one of them/ });
});

test.serial('its step is keyed by the bytes of the file and writes a Hugging Face folder', async (t) => {
  const services = await openServices(temporary());
  const renamed = join(temporary(), 'other.gguf');
  copyFileSync(file, renamed);
  const step = call('reduce', 'model:path', { path: file });
  const registry = await services.registry([]);
  const keyOf = async (path: string) => (await resolveStep(call('reduce', 'model:path', { path }), context, registry)).stepKey;
  t.is(await keyOf(file), await keyOf(renamed));
  const { result } = await stepsOf(services).compute(step, context, beat);
  const names = (await services.store.model(result as ModelRef)).files.map(({ name }) => name);
  for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'chat_template.jinja']) t.true(names.includes(name), name);
  t.false(names.some((name) => /gguf|weights\.json/.test(name)));
  writeFileSync(renamed, Buffer.concat([readFileSync(file), Buffer.from('more')]));
  t.not(await keyOf(file), await keyOf(renamed));
});

test.serial('a file in a repository of the Hub is the model that the same file on the disk is, keyed by its commit', async (t) => {
  const { hub, home, env, plan: planFile } = await hubHome(t);
  hub.publish('models', 'toy/gguf', { 'README.md': 'Two files.', 'a-F32.gguf': readFileSync(file), 'b.gguf': 'GGUF' });
  const { code, stdout, stderr } = await planFile('{ hub: toy/gguf, file: a-F32.gguf }');
  t.is(code, 0, stdout + stderr);
  t.regex(stdout, /base: toy\/gguf of the Hub at main, commit [0-9a-f]{40}/);
  const downloaded = () => hub.seen.filter(({ method, path }) => method === 'GET' && path.includes('/resolve/'));
  t.true(
    downloaded().every(({ path }) => path.endsWith('/a-F32.gguf')),
    'of its files the one that is named',
  );
  Object.assign(process.env, env);
  await t.throwsAsync(loadExperiment(written(home, 'none.yaml', yaml('{ hub: toy/gguf, file: none.gguf }'))), {
    message: /toy\/gguf has no file none\.gguf; its GGUF files are a-F32\.gguf, b\.gguf/,
  });
  const services = await openServices(temporary());
  const { bound } = await loadExperiment(written(home, 'experiment.yaml', yaml('{ hub: toy/gguf, file: a-F32.gguf }')));
  const { revision: _, ...named } = bound.models['base'] as HubModel;
  const compute = async (operation: string, inputs: object) =>
    (await stepsOf(services).compute(call('reduce', operation, inputs), context, beat)).result as ModelRef;
  t.deepEqual(await compute('model:hub', named), await compute('model:path', { path: file }));
});

test.serial('small files that a killed process left half made are made again', async (t) => {
  const copy = join(temporary(), 'copy.gguf');
  copyFileSync(file, copy);
  const made = await smallFilesOf(copy);
  t.true(existsSync(join(made, 'tokenizer.json')));
  mkdirSync(`${made}-killed`, { recursive: true });
  t.is(await smallFilesOf(copy), made);
});
