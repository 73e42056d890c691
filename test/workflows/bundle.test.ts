import test from 'ava';
import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workflowBundle } from '../../workers/bundle.ts';

test('the workflow bundle holds neither axios nor zod, and is made once for each state of the sources', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'backspin-'));
  const { codePath } = await workflowBundle(home);
  const code = await readFile(codePath, 'utf8');
  t.false(code.includes('node_modules/axios/'));
  t.false(code.includes('node_modules/zod/'));
  t.true(code.includes('humpback'));
  const { ino, mtimeMs } = await stat(codePath);
  t.is((await workflowBundle(home)).codePath, codePath);
  t.like(await stat(codePath), { ino, mtimeMs });
});

test('a bundle that a power failure left empty, torn or full of zeros is made anew', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'backspin-'));
  const { codePath } = await workflowBundle(home);
  const code = await readFile(codePath, 'utf8');
  for (const [path, left] of [
    [codePath, ''],
    [codePath, code.slice(0, code.length >> 1)],
    [codePath, code.replaceAll(/[^\n]/g, '\0')],
    [`${codePath}.sha256`, ''],
  ] as const) {
    await writeFile(path, left);
    await workflowBundle(home);
    t.is((await readFile(codePath, 'utf8')).length, code.length);
    t.true((await readFile(codePath, 'utf8')).includes('humpback'));
  }
});
