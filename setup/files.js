/** Reads and writes files of a checkout and of the cache. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { root } from './paths.js';

export function requireSpace(folder, gigabytes) {
  const { bavail, bsize } = fs.statfsSync(folder);
  const free = (bavail * bsize) / 1e9;
  if (free < gigabytes)
    throw new Error(`${folder} has ${free.toFixed(1)} GB free and ${gigabytes} GB are needed. Make room, then run this again.`);
}

/** Reads a file that every checkout has. */
export function read(file) {
  try {
    return fs.readFileSync(path.join(root, file), 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read. Is the checkout whole? \`git status\` tells.`, { cause: error });
  }
}

/** Writes a file atomically, unless it has the same text already. */
export function writeAtomically(file, text) {
  if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === text) return;
  const part = `${file}.${process.pid}`;
  fs.writeFileSync(part, text, { flush: true });
  fs.renameSync(part, file);
  const folder = fs.openSync(path.dirname(file), 'r');
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

export function digest(...parts) {
  return createHash('sha256').update(parts.join('\n')).digest('hex');
}
