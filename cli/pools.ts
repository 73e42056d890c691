/** Device groups of each pool of this host: `--pool`, else `pools.yaml` in the home, else one CPU group. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { BackspinError } from '../schemas/errors.ts';
import { inHome } from './home.ts';
import { Source } from './source.ts';

const pools = z.record(z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and hyphens'), z.int().min(1));

export function readPools(options: readonly string[]): Readonly<Record<string, number>> {
  if (options.length > 0) return Object.fromEntries(options.map(parse));
  const path = inHome('pools.yaml');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return { cpu: 1 };
  }
  const source = new Source(path, text);
  const read = source.check(pools, source.value);
  source.throwIfAny();
  return read!;
}

function parse(option: string): readonly [string, number] {
  const [pool, groups] = option.split('=');
  const read = pools.safeParse({ [pool ?? '']: Number(groups) });
  if (!read.success)
    throw new BackspinError('ConfigError', `--pool ${option}: a pool and its number of device groups are needed, such as --pool cpu=1`);
  return [pool!, Number(groups)];
}
