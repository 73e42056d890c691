/** Finds and installs the npm packages. */
import fs from 'node:fs';
import path from 'node:path';
import { flushed, run } from './commands.js';
import { digest, read, requireSpace, writeAtomically } from './files.js';
import { bin, root } from './paths.js';
import { hint } from './steps.js';

const packagesMarker = path.join(root, 'node_modules', '.backspin-setup');

export function findPackages() {
  const node = path.join(bin, 'node');
  const made = fs.existsSync(packagesMarker) && fs.readFileSync(packagesMarker, 'utf8');
  return made === packagesKey() && fs.existsSync(node) ? node : undefined;
}

export async function installPackages(lock) {
  requireSpace(root, 1);
  hint('npm ci');
  await run('npm', ['ci', '--include=dev', '--prefer-offline', '--no-audit', '--no-fund'], {
    lock,
    remedy: 'npm needs the network or a warm cache: check both, then run this again.',
  });
  fs.rmSync(path.join(bin, 'backspin'), { force: true });
  fs.symlinkSync('../../cli/backspin.js', path.join(bin, 'backspin')); // npm links a dependency's commands, not our own
  await flushed();
  writeAtomically(packagesMarker, packagesKey());
  return path.join(bin, 'node');
}

function packagesKey() {
  return digest(read('package-lock.json'), process.platform, process.arch);
}
