/** Makes a checkout whose Python is another command, which simulates a bad network or a bad disk without the product's knowledge. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSetup } from '../../host/setup.ts';
import { root } from '../cli/cli.ts';

const MINIATURE = 'test/support/miniature.yaml';

/** Returns its folder. Its model servers run behind `faulty-server.ts`. */
export function faultyInstallation(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'backspin-installation-')));
  const left = new Set(['node_modules', '.git', 'test']);
  for (const name of readdirSync(root)) if (!left.has(name)) cpSync(join(root, name), join(folder, name), { recursive: true });
  cpSync(join(root, MINIATURE), join(folder, MINIATURE)); // modules of another checkout would have other digests
  const packages = join(folder, 'node_modules');
  mkdirSync(packages);
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== '.backspin-setup.json') symlinkSync(join(root, 'node_modules', name), join(packages, name));
  const setup = readSetup();
  const python = join(folder, 'python');
  const faulty = join(import.meta.dirname, 'faulty-server.ts');
  writeFileSync(
    python,
    `#!/bin/sh\n[ "$3" = serve ] && exec ${process.execPath} ${faulty} ${setup.python} "$@"\nexec ${setup.python} "$@"\n`,
  );
  chmodSync(python, 0o755);
  writeFileSync(join(packages, '.backspin-setup.json'), JSON.stringify({ ...setup, python }));
  return folder;
}
