/** Which files stand behind a definition: where it is written, and what that imports by relative paths, to the end. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { sha256 } from '../schemas/canonical.ts';

const root = dirname(import.meta.dirname);
/** File of a copy of the sources: names the folder that they were copied from. */
export const CHECKOUT = '.checkout';
const checkout = existsSync(join(root, CHECKOUT)) ? readFileSync(join(root, CHECKOUT), 'utf8') : root;
const ROOMS = 'activities cli devices experiments host inference operators plan recipe schemas sources steps store workers workflows';
const rooms = ROOMS.split(' ');
/** Where definitions of backspin are written. */
const defining = ['operators', 'sources'].map((room) => join(root, room) + sep);
/** Of backspin itself, which is loaded once per process, whoever imports it. Experiments and modules may lie elsewhere in its folder. */
export const isOurs = (path: string) => rooms.some((room) => path.startsWith(join(root, room) + sep));
/** A file of backspin that a module imports by its place in the checkout is, in a worker, the one of the copy that the worker runs. */
export const inBuild = (path: string): string =>
  rooms.some((room) => path.startsWith(join(checkout, room) + sep)) ? join(root, relative(checkout, path)) : path;

/** An import or export from a relative path, or from backspin. Imports of types alone leave no trace at run time. */
const imports =
  /\b(?:import|export)\b\s*(type\b(?!\s*(?:,|from\b)))?[^'"`;=]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g;

interface Source {
  readonly digest: string;
  readonly imports: readonly string[];
}

/** Reads each file once. */
export class Sources {
  readonly #read = new Map<string, Source | undefined>();

  /** Path -> sha256 of the file and of all that it imports. A file that cannot be read is left out: to load it says why. */
  behind(first: string): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    const queue = [first];
    for (const path of queue) {
      const source = found.has(path) ? undefined : this.#source(path);
      if (!source) continue;
      found.set(path, source.digest);
      queue.push(...source.imports);
    }
    return found;
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
        ? [join(root, 'recipe', 'index.ts')]
        : [],
  );
  return { digest: sha256(text), imports: files };
}

/** For each of these objects, the path of the file that it is written in: of those that export it the one with the fewest behind it.
 *  `load` gives what a file exports. */
export async function homesOf(
  entries: readonly string[],
  objects: Iterable<object>,
  sources: Sources,
  load: (path: string) => Promise<object>,
): Promise<ReadonlyMap<object, string>> {
  const wanted = new Set(objects);
  const homes = new Map<object, string>();
  const size = (path: string) => sources.behind(path).size;
  for (const path of new Set(entries.flatMap((entry) => [...sources.behind(entry).keys()]))) {
    if ((isOurs(path) && !defining.some((folder) => path.startsWith(folder))) || !/\.[cm]?[jt]s$/.test(path)) continue;
    const exported = await load(path).catch(() => ({})); // it stands in a comment, or is loaded only where it can be
    for (const object of Object.values(exported) as object[]) {
      const home = homes.get(object);
      if (wanted.has(object) && (home === undefined || size(path) < size(home))) homes.set(object, path);
    }
  }
  return homes;
}

/** Paths as they are named wherever the checkout lies: those of backspin from its root, others from the folder of their module. */
export const named = (files: ReadonlyMap<string, string>, folder: string): Record<string, string> =>
  Object.fromEntries([...files].map(([path, digest]) => [relative(isOurs(path) ? root : folder, path), digest]));
