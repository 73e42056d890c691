/** Reads what `npm run setup` found or installed on this machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';

export interface Setup {
  readonly node: string;
  readonly temporal: string;
  readonly python: string;
  /** Browser for the tests of web pages; null if this machine has none. */
  readonly browser: string | null;
  readonly cache: string;
}

export function readSetup(): Setup {
  try {
    return JSON.parse(readFileSync(join(import.meta.dirname, '..', 'node_modules', '.backspin-setup.json'), 'utf8')) as Setup;
  } catch {
    throw new BackspinError('ConfigError', 'backspin is not set up: run `npm run setup` in its folder.');
  }
}
