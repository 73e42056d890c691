/** Names the folders and files of set-up. */
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const cache = path.resolve(
  process.env.BACKSPIN_CACHE || path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'backspin'),
);
export const bin = path.join(root, 'node_modules', '.bin');
/** The record of everything that set-up installed. */
export const record = path.join(root, 'node_modules', '.backspin-setup.json');
