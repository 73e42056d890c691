/** Servers that somebody else runs. */
import { readFileSync } from 'node:fs';
import type { External } from '../schemas/external.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Adaptive } from './adaptive.ts';
import { ModelClient } from './client.ts';

export interface Server {
  readonly client: ModelClient;
  readonly limiter: Adaptive;
}

/** The servers that this process asks. Whoever declares the same address, key and limits shares them. */
export class Servers {
  readonly #known = new Map<string, Server>();

  of({ url, key, inFlight, requestsPerMinute, tokensPerMinute, timeout: seconds }: External): Server {
    const name = JSON.stringify([url, key, inFlight, requestsPerMinute, tokensPerMinute, seconds]);
    const known = this.#known.get(name);
    if (known) return known;
    const limiter = new Adaptive({ most: inFlight, requestsPerMinute, tokensPerMinute });
    const timeout = seconds && seconds * 1000;
    const client = new ModelClient({ endpoint: async () => ({ url, key: keyOf(key) }), limiter, tries: 1, timeout });
    this.#known.set(name, { client, limiter });
    return { client, limiter };
  }
}

/** Read anew for each request, so that a key can be changed while workers run. */
function keyOf(key: External['key']): string | null {
  if (key === null) return null;
  const text = ('env' in key ? process.env[key.env] : contentOf(key.file))?.trim();
  if (text) return text;
  const place = 'env' in key ? `environment variable ${key.env}` : `file ${key.file}`;
  throw new BackspinError(
    'ConfigError',
    `The ${place} should hold the key of an external server, and holds nothing: put it there where the workers run, a variable before \`backspin up\`.`,
  );
}
function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
