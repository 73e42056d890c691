import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { call, keyOf, resolved } from '../support/keys.ts';
import { aboutModel, newStore } from '../support/store.ts';
import { reduceStep } from '../../steps/reduce.ts';
import { FileDigests } from '../../store/digests.ts';
import { modelParts } from '../../store/models.ts';

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
