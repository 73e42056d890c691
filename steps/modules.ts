/** Loads a user's TypeScript modules: computes their digest and re-imports changed files in long-running workers. */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BackspinError } from '../schemas/errors.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { inBuild, isOurs, named, Sources } from './source-files.ts';

const root = dirname(import.meta.dirname);

/** sha256 over a file and its relative imports, except backspin's own files. Other files that it reads do not count. */
export function moduleDigest(path: string): Promise<string> {
  return Promise.resolve().then(() => digestBehind(resolve(path)));
}

function digestBehind(path: string): string {
  try {
    readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new BackspinError('ConfigError', `The module ${path} cannot be read (${code}): check its path.`, { cause: error });
  }
  const guests = [...new Sources().behind(path)].filter(([file]) => !isOurs(file));
  return sha256(canonicalJson(named(new Map(guests), dirname(path))));
}

export interface Module {
  readonly path: string;
  readonly digest: string;
}

let hooked = false;

/** Imports a module in its current version. Throws `ConfigError` if it has changed since its digest was taken, or cannot be loaded. */
export async function importModule({ path, digest }: Module): Promise<object> {
  if ((await moduleDigest(path)) !== digest) {
    throw new BackspinError(
      'ConfigError',
      `The module ${path}, or a file that it imports, has changed since the experiment was launched: launch it under a new name, or put the file back.`,
    );
  }
  if (!hooked) hookImports();
  try {
    return await importVersion(path, digest);
  } catch (error) {
    const why = reason(error).replaceAll(`?v=${digest}`, '');
    throw new BackspinError('ConfigError', `The module ${path} cannot be loaded (${why}): mend it and launch again.`, { cause: error });
  }
}

/** Imports a file of a module in the version that the module was loaded with. */
export const importVersion = async (path: string, digest: string): Promise<object> =>
  (await import(isOurs(path) ? pathToFileURL(path).href : `${pathToFileURL(path).href}?v=${digest}`)) as object;

/** The message of an error, and the first line of user code in its stack. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const places = [...(error.stack ?? '').matchAll(/(?:^|[\s(]|file:\/\/)(\/[^\s()?:]+)(?:\?v=[0-9a-f]{64})?:(\d+)/g)];
  const place = places.find(([, file]) => !isOurs(file!));
  return `${error.message}${place ? `, at ${place[1]}:${place[2]}` : ''}`;
}

/** Resolves a module's `backspin` and `zod` to those of this process, wherever the module is. Adds the version to its relative imports,
 *  because Node caches modules by URL for ever. */
function hookImports(): void {
  hooked = true;
  const ourselves = pathToFileURL(join(root, 'package.json')).href;
  registerHooks({
    resolve(specifier, context, next) {
      const version = context.parentURL && /^file:.*(\?v=[0-9a-f]{64})$/.exec(context.parentURL)?.[1];
      if (!version) return next(specifier, context);
      if (specifier === 'backspin' || specifier === 'zod') return next(specifier, { ...context, parentURL: ourselves });
      if (!/^\.{1,2}\//.test(specifier)) return next(specifier, context);
      const path = inBuild(resolve(dirname(fileURLToPath(context.parentURL!)), specifier));
      if (isOurs(path)) return next(pathToFileURL(path).href, context);
      const resolved = next(specifier, context);
      return { ...resolved, url: resolved.url + version };
    },
  });
}
