/** Copies the sources that workers run into the home when `up` starts, named by their digest. So an edit or a `git pull` during an `up`
 *  changes nothing, even if a worker restarts; the next `up` uses the new sources. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { CHECKOUT } from '../steps/source-files.ts';

const root = resolve(import.meta.dirname, '..');
/** Files and whole folders. */
const PARTS =
  'activities devices host inference operators recipe schemas sources steps store trainer/backspin_trainer workers workflows package.json package-lock.json';

export interface Build {
  readonly digest: string;
  /** Folder with a copy of the sources. */
  readonly folder: string;
}
type Sources = ReadonlyMap<string, Buffer>;

/** Digest of the current sources on disk: of all parts that workers run, or of some. */
export const sourcesDigest = async (parts = PARTS): Promise<string> => digestOf(await read(root, parts));

/** Copies the sources into the home if they are not there yet, and removes other builds. No `up` may be running. */
export async function pinBuild(home: string): Promise<Build> {
  const sources = await settled();
  const digest = digestOf(sources);
  const builds = join(home, 'builds');
  const folder = join(builds, digest);
  await mkdir(builds, { recursive: true });
  const whole = await read(folder, PARTS).then(digestOf, () => undefined); // a power failure may have left empty files
  for (const name of await readdir(builds))
    if (name !== digest || whole !== digest) await rm(join(builds, name), { recursive: true, force: true });
  if (whole !== digest) {
    const partial = `${folder}.part`;
    for (const [path, bytes] of sources) {
      await mkdir(dirname(join(partial, path)), { recursive: true });
      await writeFile(join(partial, path), bytes);
    }
    await rename(partial, folder);
  }
  // The checkout of this command; it may have moved.
  await rm(join(folder, 'node_modules'), { force: true });
  await symlink(packagesFolder(), join(folder, 'node_modules'));
  await writeFile(join(folder, CHECKOUT), root);
  return { digest, folder };
}

/** Reads the sources until two reads agree: a `git pull` may be under way. */
async function settled(): Promise<Sources> {
  for (let before = await read(root, PARTS); ;) {
    const now = await read(root, PARTS);
    if (digestOf(now) === digestOf(before)) return now;
    before = now;
  }
}

async function read(folder: string, parts: string): Promise<Sources> {
  const paths = await Promise.all(parts.split(' ').map((part) => filesIn(folder, part)));
  const sorted = paths.flat().toSorted();
  return new Map(await Promise.all(sorted.map(async (path) => [path, await readFile(join(folder, path))] as const)));
}

async function filesIn(folder: string, part: string): Promise<string[]> {
  const stats = await stat(join(folder, part)).catch((error: unknown) => {
    if (part !== 'package-lock.json') throw error;
  });
  if (!stats) return []; // an npm package has no lock
  if (stats.isFile()) return [part];
  const entries = await readdir(join(folder, part), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  return files.filter((file) => !file.split(sep).includes('__pycache__'));
}

/** The folder that holds the packages: of an npm package it may be the one above. */
function packagesFolder(): string {
  for (let at = root; ; at = dirname(at)) {
    const folder = join(at, 'node_modules');
    if (existsSync(join(folder, '@temporalio', 'worker')) || at === dirname(at)) return folder;
  }
}

function digestOf(sources: Sources): string {
  const hash = createHash('sha256');
  for (const [path, bytes] of sources) hash.update(`${path} ${bytes.length}\n`).update(bytes);
  return hash.digest('hex').slice(0, 32);
}
