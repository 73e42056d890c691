/** The workflow bundle, made once for each state of the sources: a restarted orchestrator must not wait for webpack. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';

const root = resolve(import.meta.dirname, '..');

export async function workflowBundle(home: string): Promise<{ codePath: string }> {
  const codePath = join(home, 'cache', `workflows-${await sourcesDigest()}.js`);
  if (!(await readFile(codePath).catch(() => undefined))) {
    const { code } = await bundleWorkflowCode({ workflowsPath: join(root, 'workflows', 'index.ts') });
    await mkdir(join(home, 'cache'), { recursive: true });
    await writeFile(`${codePath}.${process.pid}`, code);
    await rename(`${codePath}.${process.pid}`, codePath);
  }
  return { codePath };
}

async function sourcesDigest(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(join(root, 'package.json')));
  for (const room of ['workflows', 'recipe', 'schemas']) {
    const files = (await readdir(join(root, room), { recursive: true })).filter((file) => file.endsWith('.ts')).sort();
    for (const file of files) hash.update(file).update(await readFile(join(root, room, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
