import { mkdtemp, mkdir, writeFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import test from 'ava';
import { z } from 'zod';
import { source } from '../../recipe/index.ts';
import { loadRegistry, moduleDigest } from '../../steps/registry.ts';
import { isOurs, Sources } from '../../steps/source-files.ts';
import { BackspinError } from '../../schemas/errors.ts';

/** A user's module in a folder of its own, that takes its wording from a file beside it. */
async function module(said: string, folder?: string): Promise<string> {
  const home = folder ?? (await mkdtemp(join(tmpdir(), 'backspin-')));
  await mkdir(join(home, 'texts'), { recursive: true });
  await writeFile(join(home, 'texts', 'said.ts'), `export { said } from './deeper.ts';`);
  await writeFile(join(home, 'texts', 'deeper.ts'), `export const said: string = ${JSON.stringify(said)};`);
  await writeFile(
    join(home, 'mine.ts'),
    `import { said } from './texts/said.ts';
     export const namespace = 'mine';
     export const ask = { is: 'prompt', version: 3, render: () => ({ text: said }) };
     export const helper = { not: 'a definition' };`,
  );
  return join(home, 'mine.ts');
}
const load = async (path: string) => loadRegistry([{ path, digest: await moduleDigest(path) }]);

test('a definition is found by its name, with its version', async (t) => {
  const registry = await load(await module('hello'));
  t.deepEqual(registry.prompt('mine.ask').render({} as never), { text: 'hello' });
  t.is(registry.version('mine.ask'), 3);
  t.is(registry.reducer('std.select').is, 'reducer');
  t.deepEqual([registry.isModule('mine'), registry.isModule('std')], [true, false]);
});

test('an unknown name is answered with the nearest, and with what there is', async (t) => {
  const registry = await load(await module('hello'));
  const message = (look: () => unknown) => t.throws(look, { instanceOf: BackspinError, name: 'ConfigError' }).message;
  t.is(
    message(() => registry.prompt('mine.aks')),
    'There is no prompt "mine.aks"; the nearest is mine.ask; mine has mine.ask.',
  );
  t.regex(
    message(() => registry.reducer('std.selct')),
    /the nearest is std\.select; std has std\.cluster, std\.decontaminate, /,
  );
  t.regex(
    message(() => registry.source('stt.table')),
    /the nearest is std\.table; there is no namespace "stt", only std, humpback, [\w, -]+, mine/,
  );
  t.regex(
    message(() => registry.operator('std.table')),
    /std\.table is of the kind source, and not operator/,
  );
  t.regex(
    message(() => registry.prompt('mine.helper')),
    /There is no prompt "mine\.helper"/,
  );
});

test('a module that has changed, itself or what it imports, is refused until it is launched anew; then it is read anew', async (t) => {
  const path = await module('first');
  const digest = await moduleDigest(path);
  const first = await loadRegistry([{ path, digest }]);
  await module('second', join(path, '..'));
  await t.throwsAsync(loadRegistry([{ path, digest }]), {
    name: 'ConfigError',
    message: /mine\.ts, or a file that it imports, has changed since/,
  });
  const second = await load(path);
  t.deepEqual(
    [first, second].map((registry) => registry.prompt('mine.ask').render({} as never)),
    [{ text: 'first' }, { text: 'second' }],
  );
  t.not(first.sourceDigest('mine'), second.sourceDigest('mine'));
});

test('a digest does not depend on where a module lies', async (t) => {
  const path = await module('same');
  const digest = await moduleDigest(path);
  await rename(join(path, '..'), `${join(path, '..')}-moved`);
  t.is(await moduleDigest(join(`${join(path, '..')}-moved`, 'mine.ts')), digest);
  t.not(await moduleDigest(await module('other')), digest);
});

test('a module shares backspin itself, so its errors are our errors', async (t) => {
  const path = await module('x');
  const errors = relative(dirname(path), resolve(import.meta.dirname, '../../schemas/errors.ts'));
  await writeFile(
    path,
    `import { BackspinError } from ${JSON.stringify(errors)}; export const namespace = 'mine'; export const ask = { is: 'prompt', version: 1, render: () => { throw new BackspinError('TrainingDiverged', 'x'); } };`,
  );
  const registry = await load(path);
  t.throws(() => registry.prompt('mine.ask').render({} as never), { instanceOf: BackspinError });
});

test('a module that lies anywhere, and what it imports, has the backspin and the zod that load it', async (t) => {
  const path = await module('x');
  await writeFile(path, `export * from './taken.ts'; export const namespace = 'mine';`);
  await writeFile(
    join(dirname(path), 'taken.ts'),
    `import { source } from 'backspin'; import { z } from 'zod';
     export const rows = { ...source({ version: 1, output: z.object({}), rows: () => [] }), source, z };`,
  );
  const taken = (await load(path)).source('mine.rows') as unknown as { source: unknown; z: unknown };
  t.is(taken.source, source);
  t.is(taken.z, z);
});

test('a module that cannot be loaded is a sentence', async (t) => {
  const path = await module('x');
  const broken = async (text: string, message: RegExp) => {
    await writeFile(path, text);
    await t.throwsAsync(load(path), { name: 'ConfigError', message });
  };
  await broken('export const = 1;', /mine\.ts cannot be loaded/);
  await broken('export const ask = 1;', /does not say its namespace/);
  await broken(`export const namespace = 'std';`, /calls its namespace "std", and so does backspin/);
  await t.throwsAsync(moduleDigest(`${path}.none`), { name: 'ConfigError', message: /cannot be read/ });
});

test('behind a definition stands the file that it is written in, and what that imports but for types: no other file of its namespace', async (t) => {
  const path = await module('x');
  const folder = dirname(path);
  const write = (name: string, text: string) => writeFile(join(folder, name), text);
  const defining = (name: string, more: string) =>
    `${more} export const ${name} = { is: 'prompt', version: 1, render: () => ({ text: '' }) };`;
  await write('mine.ts', `export const namespace = 'mine'; export { one } from './one.ts'; export * from './other.ts';`);
  await write('one.ts', defining('one', `import { shared } from './shared.ts'; import type { T } from './types.ts'; export type { T };`));
  await write('other.ts', defining('other', `import './aside.ts';`));
  await write('shared.ts', `import { keep } from 'backspin'; export const shared = keep;`);
  await write('types.ts', 'export interface T {}');
  await write('aside.ts', '');
  const registry = await load(path);
  t.deepEqual(Object.keys(registry.behind('mine.one').own).sort(), ['one.ts', 'shared.ts']);
  t.deepEqual(Object.keys(registry.behind('mine.other').own).sort(), ['aside.ts', 'other.ts']);
  t.deepEqual(registry.behind('mine.other').ours, {});
  t.true('recipe/operator.ts' in registry.behind('mine.one').ours, 'backspin, whose code it runs');
  t.true('operators/reply.ts' in registry.behind('musc.verify').ours, 'shared by several namespaces');
  t.true('operators/std/shingles.ts' in registry.behind('cycle-instruct.health').ours, 'of another namespace');
  t.false('operators/humpback/parse.ts' in registry.behind('humpback.toResponse').ours);
  t.deepEqual(registry.behind('std.dedup').own, {});
  await write('aside.ts', 'export {};');
  await write('types.ts', 'export interface T { a: string }');
  const changed = await load(path);
  t.deepEqual(changed.behind('mine.one'), registry.behind('mine.one'));
  t.notDeepEqual(changed.behind('mine.other'), registry.behind('mine.other'));
});

test('a module that lies in the folder of backspin is a module like any other', async (t) => {
  const root = resolve(import.meta.dirname, '../..');
  const folder = await mkdtemp(join(root, 'mine-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const said = async (text: string) => (await load(await module(text, folder))).prompt('mine.ask').render({} as never);
  const digest = await moduleDigest(await module('one', folder));
  t.deepEqual(await said('one'), { text: 'one' });
  t.deepEqual(await said('two'), { text: 'two' }, 'what it imports is read anew too');
  t.not(await moduleDigest(join(folder, 'mine.ts')), digest);
});

test('all that the programs of backspin import is of backspin', (t) => {
  const root = resolve(import.meta.dirname, '../..');
  for (const program of ['cli/backspin.ts', 'workers/data.ts', 'workers/gpu.ts', 'workers/orchestrator.ts', 'workflows/index.ts'])
    t.deepEqual(
      [...new Sources().behind(join(root, program)).keys()].filter((path) => !isOurs(path)),
      [],
    );
});
