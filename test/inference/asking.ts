/** A client of a fake server, and what it asks. */
import { ModelClient, type ClientOptions } from '../../inference/client.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import type { FakeOpenAI } from '../support/openai.ts';

const never = new AbortController().signal;
export const ask = { seed: 7, requestId: 'step/0/record/0', signal: never };
export const hello = [{ role: 'user', content: 'hello' }] as const;
export const greedy = { temperature: 0, maxTokens: 16 };
export const client = (server: FakeOpenAI, more: Partial<ClientOptions> = {}) =>
  new ModelClient({ endpoint: () => Promise.resolve(server.endpoint), limiter: new FixedLimiter(4), pause: 1, ...more });
export const asked = (server: FakeOpenAI) => server.seen.filter(({ path }) => path !== '/v1/models');
