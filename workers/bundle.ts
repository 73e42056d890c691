/** The workflow bundle, made once for each state of the sources: a restarted orchestrator must not wait for webpack. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import { sha256 } from '../schemas/canonical.ts';
import { writeAtomic } from '../store/files.ts';
import { sourcesDigest } from '../host/build.ts';

const root = resolve(import.meta.dirname, '..');
/** What is in it, and the packages. */
const BUNDLED = 'workflows recipe schemas package.json package-lock.json';

export async function workflowBundle(home: string): Promise<{ codePath: string }> {
  const codePath = join(home, 'cache', `workflows-${await sourcesDigest(BUNDLED)}.js`);
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
