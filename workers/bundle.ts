/** Builds the workflow bundle once for each state of the sources, so a restarted orchestrator need not wait for webpack. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import { SOURCE } from '../devices/installation.ts';
import { sha256 } from '../schemas/canonical.ts';
import { writeAtomic } from '../store/files.ts';
import { sourcesDigest } from '../host/build.ts';

const root = resolve(import.meta.dirname, '..');
/** Sources of the bundle, and the installed packages. */
const BUNDLED = 'workflows recipe schemas package.json package-lock.json';

export async function workflowBundle(home: string): Promise<{ codePath: string }> {
  const codePath = join(home, 'cache', `workflows-${await sourcesDigest(BUNDLED)}.js`);
  if (!(await isWhole(codePath))) {
    const { code } = await bundleWorkflowCode({ workflowsPath: join(root, 'workflows', `index${SOURCE}`) });
    await writeAtomic(codePath, code);
    await writeAtomic(digestPath(codePath), sha256(code));
  }
  return { codePath };
}

const digestPath = (codePath: string) => `${codePath}.sha256`;

/** Whether a bundle is complete: a power failure or a full disk may have left something else under its name. */
async function isWhole(codePath: string): Promise<boolean> {
  const [code, digest] = await Promise.all([codePath, digestPath(codePath)].map((path) => readFile(path, 'utf8').catch(() => '')));
  return sha256(code!) === digest;
}
