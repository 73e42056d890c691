/** Names the folders and files of set-up. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const cache = path.resolve(
  process.env.BACKSPIN_CACHE || path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'backspin'),
);
export const bin = path.join(root, 'node_modules', '.bin');
/** Whether this is an installed npm package, and no checkout: npm has installed its packages then. */
export const isPackage = !fs.existsSync(path.join(root, 'package-lock.json'));
/** The record of everything that set-up installed. The folder of a package may belong to another user. */
export const record = isPackage
  ? path.join(cache, `setup-${JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).version}.json`)
  : path.join(root, 'node_modules', '.backspin-setup.json');
