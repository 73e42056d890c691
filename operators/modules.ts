/** A user's own TypeScript files: their digest, and imports that see a changed file in a worker that lives for days. */
import { readFile } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BackspinError } from '../schemas/errors.ts';
import { canonicalJson, sha256 } from '../store/canonical.ts';

const root = dirname(import.meta.dirname);
const guests = ['examples', 'test'].map((folder) => join(root, folder) + sep);
/** backspin itself is loaded once per process, whoever imports it. */
const isOurs = (path: string) => path.startsWith(root + sep) && !guests.some((folder) => path.startsWith(folder));

const relativeImport = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g;

/** sha256 over a file and all that it imports by relative paths, but for backspin's own. Other files that it reads are not in it. */
export async function moduleDigest(path: string): Promise<string> {
  const first = resolve(path);
  const digests: Record<string, string> = {};
  const queue = [first];
  for (const file of queue) {
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (file !== first) return undefined; // in a comment, or the import will say so
      throw new BackspinError(
        'ConfigError',
        `The module ${file} cannot be read (${(error as NodeJS.ErrnoException).code}): check its path.`,
        { cause: error },
      );
    });
    if (text === undefined) continue;
    digests[relative(dirname(first), file)] = sha256(text);
    for (const [, specifier] of text.matchAll(relativeImport)) {
      const imported = resolve(dirname(file), specifier!);
      if (!isOurs(imported) && !queue.includes(imported)) queue.push(imported);
    }
  }
  return sha256(canonicalJson(digests));
}

let hooked = false;

/** Imports a module as it is now. Throws `ConfigError` when it is not as it was, or cannot be loaded. */
export async function importModule({ path, digest }: { readonly path: string; readonly digest: string }): Promise<object> {
  if ((await moduleDigest(path)) !== digest) {
    throw new BackspinError(
      'ConfigError',
      `The module ${path}, or a file that it imports, has changed since the experiment was launched: launch it under a new name, or put the file back.`,
    );
  }
  if (!hooked) hookImports();
  try {
    return (await import(`${pathToFileURL(path).href}?v=${digest}`)) as object;
  } catch (error) {
    const why = reason(error).replaceAll(`?v=${digest}`, '');
    throw new BackspinError('ConfigError', `The module ${path} cannot be loaded (${why}): mend it and launch again.`, { cause: error });
  }
}

/** What an error says, and the first line of somebody else's code that it names. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const places = [...(error.stack ?? '').matchAll(/(?:^|[\s(]|file:\/\/)(\/[^\s()?:]+)(?:\?v=[0-9a-f]{64})?:(\d+)/g)];
  const place = places.find(([, file]) => !isOurs(file!));
  return `${error.message}${place ? `, at ${place[1]}:${place[2]}` : ''}`;
}

/**
 * A module's `backspin` is the one that loads it, and so is its `zod`, wherever it lies. What it imports by relative paths gets its
 * version, since Node keeps a module by its URL for ever.
 */
function hookImports(): void {
  hooked = true;
  const ourselves = pathToFileURL(join(root, 'package.json')).href;
  registerHooks({
    resolve(specifier, context, next) {
      const version = context.parentURL && /^file:.*(\?v=[0-9a-f]{64})$/.exec(context.parentURL)?.[1];
      if (!version) return next(specifier, context);
      if (specifier === 'backspin' || specifier === 'zod') return next(specifier, { ...context, parentURL: ourselves });
      const resolved = next(specifier, context);
      if (!/^\.{1,2}\//.test(specifier) || !resolved.url.startsWith('file:') || isOurs(fileURLToPath(resolved.url))) return resolved;
      return { ...resolved, url: resolved.url + version };
    },
  });
}
