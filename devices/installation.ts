/** Where this code is installed, as a checkout or as an npm package, and what set-up has found or made for it. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, extname, join, resolve } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';

const root = dirname(import.meta.dirname);
/** Whether this is an npm package: npm leaves the lock out. */
export const isPackage = !existsSync(join(root, 'package-lock.json'));
/** The end of the names of source files: `.ts`, in a package `.js`. */
export const SOURCE = extname(import.meta.filename);
/** How a user has set-up run. */
export const SET_UP = isPackage ? 'run `backspin setup`' : 'run `npm run setup` in the backspin folder';

export interface Setup {
  readonly node: string;
  readonly temporal: string;
  readonly python: string;
  /** Browser for the tests of web pages; null if this machine has none. */
  readonly browser: string | null;
  readonly cache: string;
  /** Python with EleutherAI's harness, if set-up ran with `--lm-eval`. */
  readonly lmEval?: string;
}

/** As in `setup/paths.js`. */
const cache = () => resolve(process.env['BACKSPIN_CACHE'] || join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'backspin'));
function recordPath(): string {
  if (!isPackage) return join(root, 'node_modules', '.backspin-setup.json');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return join(cache(), `setup-${version}.json`);
}

export function readSetup(): Setup {
  try {
    return JSON.parse(readFileSync(recordPath(), 'utf8')) as Setup;
  } catch {
    throw new BackspinError('ConfigError', `backspin is not set up: ${SET_UP}.`);
  }
}

/** A folder for what can be computed again. */
export const cacheFolder = (name: string): string =>
  isPackage ? join(cache(), name) : join(root, 'node_modules', '.cache', 'backspin', name);
