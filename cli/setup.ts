/** `backspin setup`: runs set-up, which installs what is no npm package. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { isPackage, SET_UP } from '../devices/installation.ts';
import { BackspinError } from '../schemas/errors.ts';

export async function run({ workers, lmEval }: { workers?: boolean; lmEval?: boolean }): Promise<number> {
  if (!isPackage) throw new BackspinError('ConfigError', `This is a checkout: ${SET_UP}.`);
  const script = join(import.meta.dirname, '..', 'setup.js');
  const child = spawn(process.execPath, [script, ...(workers ? ['--workers'] : []), ...(lmEval ? ['--lm-eval'] : [])], {
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
