/** The workflow bundle, made once for each state of the sources: a restarted orchestrator must not wait for webpack. */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import { sha256 } from '../store/canonical.ts';
import { writeAtomic } from '../store/files.ts';

const root = resolve(import.meta.dirname, '..');

export async function workflowBundle(home: string): Promise<{ codePath: string }> {
  const codePath = join(home, 'cache', `workflows-${await sourcesDigest()}.js`);
  if (!(await isWhole(codePath))) {
    const { code } = await bundleWorkflowCode({ workflowsPath: join(root, 'workflows', 'index.ts') });
    await writeAtomic(codePath, code);
    await writeAtomic(digestPath(codePath), sha256(code));
  }
  return { codePath };
}

const digestPath = (codePath: string) => `${codePath}.sha256`;

/** A disk that lost power, or was full, may hold something else under its name. */
async function isWhole(codePath: string): Promise<boolean> {
  const [code, digest] = await Promise.all([codePath, digestPath(codePath)].map((path) => readFile(path, 'utf8').catch(() => '')));
  return sha256(code!) === digest;
}

async function sourcesDigest(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(join(root, 'package.json')));
  for (const room of ['workflows', 'recipe', 'schemas']) {
    const files = (await readdir(join(root, room), { recursive: true })).filter((file) => file.endsWith('.ts')).sort();
    for (const file of files) hash.update(file).update(await readFile(join(root, room, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
