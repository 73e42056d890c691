/** The step that imports a model from the Hub. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { pythonOf } from '../../devices/python.ts';
import { modelCard } from '../../experiments/cards.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { openServices } from '../../steps/services.ts';
import { stepsOf } from '../../steps/work.ts';
import { temporary } from '../cli/cli.ts';
import { LocalHub } from '../support/hub.ts';
import { base } from '../support/hub-home.ts';
import { call, context } from '../support/keys.ts';

const hub = await LocalHub.start({ teardown: (close) => test.after.always(close) });
Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HUB_DOWNLOAD_TIMEOUT: '2' });
test.beforeEach(() => {
  process.env['HF_HOME'] = temporary();
  hub.fault = () => undefined;
});

const beat = { signal: new AbortController().signal, heartbeat: () => {} };
async function importing(inputs: object, operation = 'model:hub') {
  const services = await openServices(temporary());
  const step = call('reduce', operation, inputs);
  return { services, store: services.store, run: async () => (await stepsOf(services).compute(step, context, beat)).result as ModelRef };
}

test.serial('a model by name is the same model as the folder, whatever else the repository holds', async (t) => {
  const files = Object.fromEntries(readdirSync(base).map((name) => [name, readFileSync(join(base, name))]));
  const commit = hub.publish('models', 'toy/base', { ...files, 'README.md': 'A model.', 'onnx/model.onnx': 'weights' });
  const byName = await importing({ hub: 'toy/base', commit });
  const byPath = await importing({ path: base }, 'model:path');
  const result = await byName.run();
  t.deepEqual(result, await byPath.run());
  t.deepEqual(
    (await byName.store.model(result)).files.map(({ name }) => name),
    readdirSync(base).toSorted(),
  );
});

test.serial('weights in the pickle format become safetensors, shard by shard, of a folder and of a repository', async (t) => {
  const folder = temporary();
  const script = `import sys, json, torch; from safetensors.torch import load_file
base, folder = sys.argv[1:]
tensors = list(load_file(base + '/model.safetensors').items())
parts = {'pytorch_model-1.bin': dict(tensors[::2]), 'pytorch_model-2.bin': dict(tensors[1::2])}
for name, part in parts.items(): torch.save(part, folder + '/' + name)
json.dump({'weight_map': {key: name for name, part in parts.items() for key in part}}, open(folder + '/pytorch_model.bin.index.json', 'w'))`;
  execFileSync(pythonOf().python, ['-c', script, base, folder]);
  for (const name of readdirSync(base)) if (name !== 'model.safetensors') writeFileSync(join(folder, name), readFileSync(join(base, name)));
  const commit = hub.publish('models', 'toy/pickled', folder);
  const byName = await importing({ hub: 'toy/pickled', commit });
  const byPath = await importing({ path: folder }, 'model:path');
  const result = await byName.run();
  t.deepEqual(result, await byPath.run());
  const names = (await byName.store.model(result)).files.map(({ name }) => name);
  t.deepEqual(
    names.filter((name) => /\.(bin|safetensors|index\.json)$/.test(name)),
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json'],
  );
  const compared = `import sys, glob; from safetensors.torch import load_file
base, made = load_file(sys.argv[1] + '/model.safetensors'), {}
for path in glob.glob(sys.argv[2] + '/*.safetensors'): made |= load_file(path)
assert base.keys() == made.keys() and all((base[key] == made[key]).all() for key in base)`;
  t.notThrows(() => execFileSync(pythonOf().python, ['-c', compared, base, join(byName.store.root, 'models', result.digest, 'files')]));
});

test.serial('a pickle that holds code is refused, and the code does not run', async (t) => {
  const folder = temporary();
  const ran = join(folder, 'ran');
  const script = `import sys, torch
class Evil:
    def __reduce__(self): return (open, (sys.argv[2], 'w'))
torch.save({'a': Evil()}, sys.argv[1])`;
  execFileSync(pythonOf().python, ['-c', script, join(folder, 'pytorch_model.bin'), ran]);
  writeFileSync(join(folder, 'config.json'), '{}');
  const { run } = await importing({ path: folder }, 'model:path');
  await t.throwsAsync(run, {
    name: 'ConfigError',
    message: /Cannot read the weights in .*pytorch_model\.bin: .* Fetch it again, or as safetensors\./,
  });
  t.throws(() => readFileSync(ran), { code: 'ENOENT' });
});

test.serial('a downloaded file that is not what the Hub has is named, and no model', async (t) => {
  const commit = hub.publish('models', 'toy/base', base);
  const { run, store } = await importing({ hub: 'toy/base', commit });
  await run();
  const snapshot = join(process.env['HF_HOME']!, 'hub/models--toy--base/snapshots', commit);
  const blob = realpathSync(join(snapshot, 'model.safetensors'));
  const bytes = readFileSync(blob);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(blob, bytes);
  const again = await importing({ hub: 'toy/base', commit });
  const error = await t.throwsAsync(again.run, { name: 'ArtifactDamaged' });
  t.is(error.message, `${blob} does not hold what the Hub has: remove it and retry the step, which fetches it again.`);
  rmSync(blob);
  t.deepEqual(await again.run(), await run());
  t.truthy(store);
});

test.serial('a network that fails is a failure to retry, a repository that is closed meanwhile is not', async (t) => {
  const commit = hub.publish('models', 'toy/base', base);
  const { run } = await importing({ hub: 'toy/base', commit });
  hub.fault = ({ path }) => (path.startsWith('/cdn/') ? { cut: 0 } : undefined);
  const failed = await t.throwsAsync(run, { name: 'Down', message: /The Hub at .* cannot be reached/ });
  t.true((failed as unknown as { retryable: boolean }).retryable);
  hub.fault = ({ path }) => (path.includes('/resolve/') ? { status: 403, code: 'GatedRepo' } : undefined);
  await t.throwsAsync(run, { name: 'ConfigError', message: /Access to the model toy\/base is restricted/ });
});

test.serial('a connection that breaks again and again costs what it broke off, not the file', async (t) => {
  const commit = hub.publish('models', 'toy/base', base);
  const { run } = await importing({ hub: 'toy/base', commit });
  hub.fault = ({ path }) => (path.startsWith('/cdn/') ? { cut: 2 ** 21 + 5 } : undefined);
  hub.seen.length = 0;
  await t.notThrowsAsync(run);
  const ranges = hub.seen.filter(({ path, method }) => method === 'GET' && path.startsWith('/cdn/')).map(({ range }) => range);
  t.deepEqual(ranges, [undefined, `bytes=${2 ** 21}-`, `bytes=${2 ** 22}-`]);
});

test.serial('a step that is cancelled ends its download', async (t) => {
  const commit = hub.publish('models', 'toy/base', base);
  const { services } = await importing({ hub: 'toy/base', commit });
  hub.fault = ({ path }) => (path.startsWith('/cdn/') ? { pause: 100 } : undefined);
  const ended = new AbortController();
  const progress: object[] = [];
  const heartbeat = (details: object | (() => object)) => {
    progress.push(details);
    ended.abort(new Error('cancelled'));
  };
  const download = stepsOf(services).download(call('reduce', 'model:hub', { hub: 'toy/base', commit }), context, {
    signal: ended.signal,
    heartbeat,
  });
  await t.throwsAsync(download, { message: 'cancelled' });
  t.like(progress[0], { state: 'downloading', of: 5_908_056 });
});

test('the card of a model names the repository and the commit that its trainings began with', (t) => {
  const manifest = (digest: string, from: string | null) =>
    ({ digest, from, files: [], base: null, settings: null, steps: 1, template: null, dataset: null, determinism: 'exact' }) as never;
  const record = {
    name: 'toy',
    recipe: 'humpback',
    config: {
      modules: [],
      data: {},
      roles: {},
      training: {},
      evaluation: {},
      models: { base: { hub: 'toy/base', revision: 'main', commit: 'c0ffee' } },
    },
    steps: [{ path: 'model-base', result: { kind: 'model', digest: 'a' } }],
  } as unknown as ExperimentRecord;
  const card = modelCard(record, [manifest('b', 'a'), manifest('a', null)], {
    from: 'forward',
    license: undefined,
    adapter: false,
    curve: [],
    metrics: { rounds: [], own: [] },
    steps: [],
    licenses: [],
  });
  t.regex(card, /^base_model: toy\/base$/m);
  t.regex(card, /^\| base model \| toy\/base at main, commit `c0ffee` \|$/m);
});
