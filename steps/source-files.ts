/** Finds the files behind a definition: the file that exports it and all its relative imports. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { SOURCE } from '../devices/installation.ts';
import { sha256 } from '../schemas/canonical.ts';

const root = dirname(import.meta.dirname);
/** File in a copy of the sources that names the original folder. */
export const CHECKOUT = '.checkout';
const checkout = existsSync(join(root, CHECKOUT)) ? readFileSync(join(root, CHECKOUT), 'utf8') : root;
const ROOMS = 'activities cli devices experiments host inference operators pages plan recipe schemas sources steps store workers workflows';
const rooms = ROOMS.split(' ');
/** Folders with backspin's definitions. */
const defining = ['operators', 'sources'].map((room) => join(root, room) + sep);
/** Files of backspin itself, loaded once per process. Experiments and modules may be elsewhere in its folder. */
export const isOurs = (path: string) => rooms.some((room) => path.startsWith(join(root, room) + sep));
/** If a module imports a backspin file by its path in the checkout, a worker loads the file from its own copy of the sources. */
export const inBuild = (path: string): string =>
  rooms.some((room) => path.startsWith(join(checkout, room) + sep)) ? join(root, relative(checkout, path)) : path;

/** Imports and exports from a relative path or from backspin. Type-only imports have no effect at run time. */
const imports =
  /\b(?:import|export)\b\s*(type\b(?!\s*(?:,|from\b)))?[^'"`;=]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g;

interface Source {
  readonly digest: string;
  readonly imports: readonly string[];
}

/** Reads each file once. */
export class Sources {
  readonly #read = new Map<string, Source | undefined>();

  /** Path -> sha256 of the file and of all its imports. Skips unreadable files: loading them reports why. */
  behind(first: string): ReadonlyMap<string, string> {
    const files = new Map<string, string>();
    const queue = [first];
    for (const path of queue) {
      const source = files.has(path) ? undefined : this.#source(path);
      if (!source) continue;
      files.set(path, source.digest);
      queue.push(...source.imports);
    }
    return files;
  }

  #source(path: string): Source | undefined {
    if (!this.#read.has(path)) this.#read.set(path, read(path));
    return this.#read.get(path);
  }
}

function read(path: string): Source | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const named = [...text.matchAll(imports)].flatMap(([, type, from, alone]) => (type === undefined ? [from ?? alone!] : []));
  const files = named.flatMap((specifier) =>
    /^\.{1,2}\//.test(specifier)
      ? [inBuild(resolve(dirname(path), specifier))]
      : specifier === 'backspin'
        ? [join(root, 'recipe', `index${SOURCE}`)]
        : [],
  );
  return { digest: sha256(text), imports: files };
}

/** For each object the path of the exporting file; if several files export it, the one with the fewest imports. `load` imports a file. */
export async function homesOf(
  entries: readonly string[],
  objects: Iterable<object>,
  sources: Sources,
  load: (path: string) => Promise<object>,
): Promise<ReadonlyMap<object, string>> {
  const unlocated = new Set(objects);
  const homes = new Map<object, string>();
  const size = (path: string) => sources.behind(path).size;
  for (const path of new Set(entries.flatMap((entry) => [...sources.behind(entry).keys()]))) {
    if ((isOurs(path) && !defining.some((folder) => path.startsWith(folder))) || !/\.[cm]?[jt]s$/.test(path)) continue;
    const exported = await load(path).catch(() => ({})); // the match may be in a comment, or the file may load only under some conditions
    for (const object of Object.values(exported) as object[]) {
      const home = homes.get(object);
      if (unlocated.has(object) && (home === undefined || size(path) < size(home))) homes.set(object, path);
    }
  }
  return homes;
}

/** Paths that do not depend on the location of the checkout: files of backspin relative to its root, others relative to the folder of their
 *  module. */
export const named = (files: ReadonlyMap<string, string>, folder: string): Record<string, string> =>
  Object.fromEntries([...files].map(([path, digest]) => [relative(isOurs(path) ? root : folder, path), digest]));
