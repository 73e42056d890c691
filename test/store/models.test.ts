import { mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { ModelRef } from '../../schemas/call.ts';
import { pathsOf } from '../../store/paths.ts';
import { onStores } from '../support/drivers.ts';
import { aboutModel, folder, newStore } from '../support/store.ts';

const onBoth = onStores();

async function modelFolder(files: Record<string, string> = {}, root = folder()): Promise<string> {
  for (const [name, text] of Object.entries({ 'config.json': '{}', 'model.safetensors': 'weights', ...files })) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return root;
}

onBoth('a model is known by the names and bytes of its files', async (t, { newStore }) => {
  const store = await newStore();
  const ref = await store.putModel(await modelFolder({ '1_Pooling/merges.txt': 'a b' }), aboutModel);
  t.deepEqual(await store.putModel(await modelFolder({ '1_Pooling/merges.txt': 'a b' }), aboutModel), ref);
  t.notDeepEqual(await store.putModel(await modelFolder({ '1_Pooling/merges.txt': 'a c' }), aboutModel), ref);
  t.notDeepEqual(await store.putModel(await modelFolder({ 'merges.txt': 'a b' }), aboutModel), ref);
  const files = (await store.model(ref)).files.map(({ name }) => name);
  t.deepEqual(files, ['1_Pooling/merges.txt', 'config.json', 'model.safetensors']);
  t.is(await readFile(join(await store.modelFolder(ref), '1_Pooling/merges.txt'), 'utf8'), 'a b');
});

test('what becomes of a folder that was brought in does not touch the model', async (t) => {
  const store = await newStore();
  const source = await modelFolder();
  const ref = await store.putModel(source, aboutModel);
  await writeFile(join(source, 'model.safetensors'), 'changed');
  t.is(await readFile(join(await store.modelFolder(ref), 'model.safetensors'), 'utf8'), 'weights');
});

test('a file in place of one of its own makes it another model', async (t) => {
  const store = await newStore();
  const file = join(folder(), 'any-name');
  await writeFile(file, 'mine');
  const source = await modelFolder({ 'chat_template.jinja': 'its own' });
  const ref = await store.putModel(source, aboutModel, { 'chat_template.jinja': file });
  t.is(await readFile(join(await store.modelFolder(ref), 'chat_template.jinja'), 'utf8'), 'mine');
  t.notDeepEqual(await store.putModel(source, aboutModel), ref);
  t.deepEqual(await store.putModel(await modelFolder({ 'chat_template.jinja': 'mine' }), aboutModel), ref);
});

test('what a step made in the store is not copied', async (t) => {
  const store = await newStore();
  const made = await modelFolder({}, join(store.work('step'), 'model'));
  const { ino } = await stat(join(made, 'model.safetensors'));
  const ref = await store.putModel(made, aboutModel);
  await store.clearWork('step');
  t.is((await stat(join(await store.modelFolder(ref), 'model.safetensors'))).ino, ino);
});

onBoth('two that bring the same model at once have one', async (t, { newStore }) => {
  const store = await newStore();
  const source = await modelFolder();
  const refs = await Promise.all(Array.from({ length: 8 }, () => store.putModel(source, aboutModel)));
  t.is(new Set(refs.map(({ digest }) => digest)).size, 1);
  t.true(await store.has(refs[0]!));
  t.deepEqual(await readdir(pathsOf(store.root).temporary), []);
});

test('a folder that is no whole model is refused with a sentence', async (t) => {
  const store = await newStore();
  const bare = folder();
  await writeFile(join(bare, 'model.safetensors'), 'weights');
  await t.throwsAsync(store.putModel(bare, aboutModel), { name: 'ConfigError', message: /has no config\.json/ });
  await t.throwsAsync(store.putModel(join(bare, 'none'), aboutModel), { name: 'ConfigError', message: /cannot be read/ });
  t.truthy(await store.putModel(bare, { ...aboutModel, state: 'init' }), 'one that a training is to make needs none');
});

onBoth('an adapter is known by its base too, and is there only beside it', async (t, { newStore }) => {
  const store = await newStore();
  const bases = [];
  for (const weights of ['one', 'other']) bases.push(await store.putModel(await modelFolder({ 'model.safetensors': weights }), aboutModel));
  const made = folder();
  await writeFile(join(made, 'adapter_model.safetensors'), 'low rank');
  const upon = (base: ModelRef) => store.putModel(made, { ...aboutModel, base: base.digest });
  await t.throwsAsync(upon(bases[0]!), { name: 'ConfigError', message: /has no adapter_config\.json/ });
  await writeFile(join(made, 'adapter_config.json'), '{}');
  const adapters = [await upon(bases[0]!), await upon(bases[1]!)];
  t.notDeepEqual(adapters[0], adapters[1]);
  await store.blobs.remove(join(store.blobs.paths.model(bases[1]!.digest), 'files', 'config.json'));
  t.deepEqual(await Promise.all(adapters.map((ref) => store.has(ref))), [true, false]);
});

test('a link within the folder is followed, one that leads out is refused', async (t) => {
  const store = await newStore();
  const source = await modelFolder({ 'blobs/1': 'weights' });
  await rm(join(source, 'model.safetensors'));
  await symlink('blobs/1', join(source, 'model.safetensors'));
  const ref = await store.putModel(source, aboutModel);
  t.is(await readFile(join(await store.modelFolder(ref), 'model.safetensors'), 'utf8'), 'weights');
  await symlink(join(await modelFolder(), 'config.json'), join(source, 'other.json'));
  await t.throwsAsync(store.putModel(source, aboutModel), { name: 'ConfigError', message: /other\.json links to a file outside/ });
});

test('a file that was changed, lost or added is named, before and after a first look', async (t) => {
  const store = await newStore();
  const other = pathsOf(store.root);
  for (const looked of [false, true]) {
    const ref = await store.putModel(await modelFolder({ 'salt.txt': String(looked) }), aboutModel);
    if (looked) await store.modelFolder(ref);
    const weights = join(other.model(ref.digest), 'files', 'model.safetensors');
    await writeFile(weights, 'Weights');
    await t.throwsAsync(store.modelFolder(ref), { name: 'ArtifactDamaged', message: /model\.safetensors/ });
    await writeFile(weights, 'weights');
    await store.modelFolder(ref);
    const extra = join(dirname(weights), 'adapter_config.json');
    await writeFile(extra, '{}');
    await t.throwsAsync(store.modelFolder(ref), { name: 'ArtifactDamaged', message: /adapter_config\.json/ });
    await rm(extra);
    await rename(weights, `${weights}.gone`);
    await t.throwsAsync(store.modelFolder(ref), { name: 'ArtifactMissing', message: /model\.safetensors/ });
    t.false(await store.has(ref));
    t.deepEqual(await store.putModel(await modelFolder({ 'salt.txt': String(looked) }), aboutModel), ref);
    t.true(await store.has(ref), 'brought in again, it is whole');
  }
});
