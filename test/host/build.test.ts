/** What workers run is a copy of the files that `up` was started with. */
import test from 'ava';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { loadRegistry, moduleDigest } from '../../steps/registry.ts';
import { Sources } from '../../steps/source-files.ts';
import { pinBuild, sourcesDigest } from '../../host/build.ts';
import { root, temporary } from '../cli/cli.ts';

test('the copy is whole, whatever a power failure has left of it, and that of no other build stays', async (t) => {
  const home = temporary();
  const { digest, folder } = await pinBuild(home);
  t.is(digest, await sourcesDigest());
  const file = join(folder, 'workers/data.ts');
  const text = readFileSync(file, 'utf8');
  t.is(text, readFileSync(join(root, 'workers/data.ts'), 'utf8'));
  truncateSync(file);
  for (const other of ['other', `${digest}.part`]) {
    mkdirSync(join(home, 'builds', other));
    writeFileSync(join(home, 'builds', other, 'left'), '');
  }
  t.deepEqual(await pinBuild(home), { digest, folder });
  t.is(readFileSync(file, 'utf8'), text);
  t.false(existsSync(join(home, 'builds/other')) || existsSync(`${folder}.part`));
});

test('the copy holds every file that a worker loads', async (t) => {
  const { folder } = await pinBuild(temporary());
  const sources = new Sources();
  const entries = [
    'workers/orchestrator.ts',
    'workers/data.ts',
    'workers/gpu.ts',
    'activities/thread.ts',
    'workflows/index.ts',
    'recipe/index.ts',
  ];
  const loaded = new Set(entries.flatMap((entry) => [...sources.behind(join(root, entry)).keys()]));
  t.true(loaded.has(join(root, 'sources/table.ts')));
  t.deepEqual(
    [...loaded].map((path) => relative(root, path)).filter((path) => !existsSync(join(folder, path))),
    [],
  );
});

test('a module that imports backspin by its place is the same module to a worker as to the command', async (t) => {
  const { folder } = await pinBuild(temporary());
  const path = join(root, 'examples/textworld/module.ts');
  const digest = await moduleDigest(path);
  const behind = (registry: Awaited<ReturnType<typeof loadRegistry>>) => registry.behind('textworld.rate');
  const script = `
    const { loadRegistry } = await import('${folder}/steps/registry.ts');
    const registry = await loadRegistry([${JSON.stringify({ path, digest })}]);
    console.log(JSON.stringify(registry.behind('textworld.rate')));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  const here = behind(await loadRegistry([{ path, digest }]));
  t.deepEqual(JSON.parse(stdout), here);
  t.true('recipe/operator.ts' in here.ours && Object.keys(here.own).every((file) => !file.startsWith('..')));
});
