/** Clients of external servers, shared by the steps of this process. */
import { readFileSync } from 'node:fs';
import type { External } from '../schemas/external.ts';
import { BackspinError } from '../schemas/errors.ts';
import { noMetrics, type Metrics } from '../schemas/metrics.ts';
import { AdaptiveLimiter } from './adaptive.ts';
import { ModelClient } from './client.ts';

export interface ExternalServer {
  readonly client: ModelClient;
  readonly limiter: AdaptiveLimiter;
}

/** One client per external server. Models that declare the same address, key and limits share it. */
export class ExternalServers {
  readonly #servers = new Map<string, ExternalServer>();
  readonly #metrics: Metrics;

  constructor(metrics = noMetrics) {
    this.#metrics = metrics;
  }

  of({ url, key, inFlight, requestsPerMinute, tokensPerMinute, timeout: seconds, structured, omit }: External): ExternalServer {
    const id = JSON.stringify([url, key, inFlight, requestsPerMinute, tokensPerMinute, seconds, structured, omit]);
    const known = this.#servers.get(id);
    if (known) return known;
    const limiter = new AdaptiveLimiter({ maxInFlight: inFlight, requestsPerMinute, tokensPerMinute });
    const timeout = seconds && seconds * 1000;
    const dialect = { ...(structured && { structured }), ...(omit && { omit }), adapts: true };
    const client = new ModelClient({
      endpoint: async () => ({ url, key: key && readSecret(key, 'the key of an external server') }),
      limiter,
      count: (requestId, send) => this.#metrics.request(new URL(url).host, requestId, send),
      tries: 1,
      timeout,
      dialect,
      proxied: true,
    });
    this.#servers.set(id, { client, limiter });
    return { client, limiter };
  }
}

/** Reads a key or the like for each request, so you can change it while workers run. `what`: what it is, for the error sentence. */
export function readSecret(key: NonNullable<External['key']>, what: string): string {
  const text = ('env' in key ? process.env[key.env] : readIfExists(key.file))?.trim();
  if (text) return text;
  const place = 'env' in key ? `environment variable ${key.env}` : `file ${key.file}`;
  throw new BackspinError(
    'ConfigError',
    `The ${place} should hold ${what}, and holds nothing: put it there where the workers run, a variable before \`backspin up\`.`,
  );
}
function readIfExists(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
