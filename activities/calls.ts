/** What an operator is given beside its record: calls of models, which are journaled, and what is drawn by chance. */
import type { ModelClient } from '../inference/client.ts';
import type { Aside, Context, Prompt, Rec, Reply, Sampling, TokenScore } from '../recipe/define.ts';
import { canonicalJson, sha256 } from '../store/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Journal } from './journal.ts';
import type { Link } from './resolve.ts';
import type { SliceWork } from './slice.ts';

type Client = Pick<ModelClient, 'chat' | 'complete' | 'score'>;
type Answer<T> = Promise<{ readonly reply: T; readonly tokens: number }>;
/** Puts a question to a model under the name that it is served by. */
type Put<T> = (client: Client, served: string, how: { seed: number; requestId: string; signal: AbortSignal }) => Answer<T>;

/** What calls ended with: it concerns their servers, whichever record asked. */
export const unanswered = new WeakSet<Error>();

/** A call is known by its record, by what it asks, and by how many equal ones of the record went before: never by when it comes. */
export function contextOf(record: Rec<unknown>, op: number, link: Link, work: SliceWork & { journal: Journal }): Context<string> {
  const { models, journal, signal, seed } = work;
  const { operator, stepKey } = link;
  const most = operator.calls(link.params);
  let calls = 0;
  const owner = `${op}/${record.id}`;
  const before = new Map<string, number>();
  const ask = <T>(role: string, question: string, put: Put<T>): Promise<T> => {
    if (++calls > most) throw new Error(`it makes more calls for one record than ${most}, which its \`calls\` gives as the most`);
    const n = before.get(question) ?? 0;
    before.set(question, n + 1);
    const reply = journal.call({ r: owner, ask: question, n }, () => {
      signal.throwIfAborted();
      const { client, served } = models.of(role);
      const requestId = `${stepKey.slice(0, 16)}/${owner}/${question}/${n}`;
      return put(client, served, { seed: seedOf(seed, stepKey, record.id, question, n), requestId, signal });
    });
    return reply.catch((error: Error) => {
      unanswered.add(error);
      throw error;
    });
  };
  return {
    chat: (role, messages, sampling: Sampling) =>
      ask<Reply>(role, questionOf('chat', role, messages, sampling), (client, served, how) =>
        client.chat(served, messages, drawn(link, sampling), how),
      ),
    complete: (role, prompt: Prompt, sampling: Sampling) =>
      ask<Reply>(role, questionOf('complete', role, prompt, sampling), (client, served, how) =>
        client.complete(served, prompt, drawn(link, sampling), how),
      ),
    score: (role, prompt: Prompt, continuations: readonly string[]) =>
      ask<readonly (readonly TokenScore[])[]>(role, questionOf('score', role, [prompt, continuations]), (client, served, how) =>
        client.score(served, prompt, continuations, how),
      ),
    async attempts(limit, body) {
      for (let attempt = 0; attempt < limit; attempt++) {
        const answer = await body(attempt);
        if (answer !== undefined) return answer;
      }
      return undefined;
    },
    ...asideOf(record, link, work),
  };
}

/** Hash of what is asked: 16 hex. */
export const questionOf = (kind: 'chat' | 'complete' | 'score', role: string, prompt: unknown, sampling?: Sampling): string =>
  sha256(JSON.stringify([kind, role, prompt, sampling && canonicalJson(sampling)])).slice(0, 16);

/** What an operator has beside its models. It throws for what the key of its step does not hold. */
export const asideOf = (
  record: Rec<unknown>,
  { what, operator, stepKey, params, prompts }: Link,
  { registry, seed, signal }: Pick<SliceWork, 'registry' | 'seed' | 'signal'>,
): Aside => ({
  prompt(name, slots) {
    if (prompts.includes(name)) return registry.prompt(name).render(slots as never);
    throw new BackspinError('ConfigError', `${what} asks by the prompt ${name}, which is none of its parameters: take its name from one.`);
  },
  random(name) {
    if (operator.declaresDraws && operator.draws(params)) return stream(`${seed}/${stepKey}/${record.id}/${name}`);
    throw new BackspinError('ConfigError', `${what} uses \`random\` and does not say so: add \`draws: () => true\` to it.`);
  },
  signal,
});

/** Checks that a request that samples is of an operator that draws. */
function drawn({ what, operator, params }: Link, sampling: Sampling): Sampling {
  if (sampling.temperature === 0 || operator.draws(params)) return sampling;
  throw new BackspinError(
    'ConfigError',
    `${what} samples at temperature ${sampling.temperature}, and its result is not known to depend on the seed: add \`draws: () => true\` to it.`,
  );
}

/** Seed of a request: (experiment's seed, step, record, what is asked, how many equal ones went before), 31 bits. */
export const seedOf = (seed: number, stepKey: string, record: string, question: string, n: number): number =>
  Number.parseInt(sha256(`${seed}/${stepKey}/${record}/${question}/${n}`).slice(0, 8), 16) >>> 1;

/** Numbers in [0, 1) with 32 bits each, by hashing a counter. */
export function stream(name: string): () => number {
  let n = 0;
  return () => Number.parseInt(sha256(`${name}/${n++}`).slice(0, 8), 16) / 2 ** 32;
}
