import test from 'ava';
import { mkdtemp, readFile, stat } from 'node:fs/promises';
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
