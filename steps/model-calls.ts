/** What an operator is given beside its record: calls of models, which are journaled, and what is drawn by chance. */
import { setTimeout as delay } from 'node:timers/promises';
import { Rejected, TooLong, Unavailable, Unusable } from '../inference/client.ts';
import { PeerOutcomes } from '../inference/limiter.ts';
import type { RecordContext, Context, Prompt, Rec, Reply, Sampling, TokenScore } from '../recipe/define.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { CallName, Journal } from './journal.ts';
import type { Link } from './resolved.ts';
import type { Client, Models } from './models.ts';
import type { Registry } from './registry.ts';

type Answer<T> = { readonly reply: T; readonly tokens: number };
type CallOptions = Readonly<Record<'requestId', string> & Record<'seed', number> & { signal: AbortSignal; failedBefore: boolean }>;
interface Question<T> {
  readonly role: string;
  /** Hash of it. */
  readonly hash: string;
  /** What a small request of its kind is like. */
  readonly like: Prompt | 'score';
  /** Puts it to a model under the name that it is served by. */
  put(client: Client, served: string, how: CallOptions): Promise<Answer<T>>;
}

/** What calls ended with: it concerns their servers, whichever record asked. */
export const failedCalls = new WeakSet<Error>();

/** What the records of a batch are worked on with. */
export interface BatchResources {
  readonly registry: Registry;
  readonly seed: number;
  readonly models: Models;
  /** By role, how requests of the step went: by these one that fails knows whether it does so by itself. */
  readonly others: Map<string, PeerOutcomes>;
  readonly signal: AbortSignal;
}

/** Where it is put down what was asked, and what was made of the record. */
export interface RecordJournal {
  readonly journal: Journal;
  readonly made: { attempts: number };
}

/** A call is known by its record, by what it asks, and by how many equal ones of the record went before: never by when it comes. */
export function contextOf(record: Rec<unknown>, op: number, link: Link, work: BatchResources & RecordJournal): Context<string> {
  const { journal, seed } = work;
  const { operator, stepKey } = link;
  const most = operator.calls(link.params);
  let calls = 0;
  const owner = `${op}/${record.id}`;
  const asked = new Map<string, number>();
  const ask = <T>(question: Question<T>): Promise<T> => {
    if (++calls > most) throw new Error(`it makes more calls for one record than ${most}, which its \`calls\` gives as the most`);
    const { hash } = question;
    const before = asked.get(hash) ?? 0;
    asked.set(hash, before + 1);
    const name = { r: owner, n: `${hash}/${before}` };
    const how = { seed: seedOf(seed, stepKey, record.id, hash, before), requestId: `${stepKey.slice(0, 16)}/${owner}/${name.n}` };
    const reply = journal.call(name, () => answered(question, name, how, work));
    return reply.catch((error: Error) => {
      failedCalls.add(error);
      throw error;
    });
  };
  return {
    chat: (role, messages, sampling: Sampling) =>
      ask<Reply>({
        role,
        hash: questionOf('chat', role, messages, sampling),
        like: { messages },
        put: (client, served, how) => client.chat(served, messages, drawn(link, sampling), how),
      }),
    complete: (role, prompt: Prompt, sampling: Sampling) =>
      ask<Reply>({
        role,
        hash: questionOf('complete', role, prompt, sampling),
        like: prompt,
        put: (client, served, how) => client.complete(served, prompt, drawn(link, sampling), how),
      }),
    score: (role, prompt: Prompt, continuations: readonly string[]) =>
      ask<readonly (readonly TokenScore[])[]>({
        role,
        hash: questionOf('score', role, [prompt, continuations]),
        like: 'score',
        put: (client, served, how) => client.score(served, prompt, continuations, how),
      }),
    async attempts(limit, body) {
      for (let attempt = 0; attempt < limit; attempt++) {
        work.made.attempts++;
        const answer = await body(attempt);
        if (answer !== undefined) return answer;
      }
      return undefined;
    },
    ...recordContextOf(record, link, work),
  };
}

/** What ends a call that fails by itself, again and again, while its server answers others: it drops its record. */
export class GivenUp extends Error {
  readonly reason: 'failed' | 'rejected';
  constructor(reason: 'failed' | 'rejected', message: string) {
    super(message);
    this.name = 'GivenUp';
    this.reason = reason;
  }
}

/** Failures of one kind after which a call is given up. Behind each of the first stand several tries of the client with pauses; behind a
 *  timeout tries that each took the whole time. */
const GIVEN_UP = { unavailable: 3, timeout: 1, unusable: 2 };
/** Milliseconds before a failed call is put again; it doubles with every further failure. */
const PAUSE = 500;

/** The answer to a question. Throws GivenUp where the fault is in what it asks, and what the client throws where it is the server's. */
async function answered<T>(
  { role, like, put }: Question<T>,
  name: CallName,
  how: Pick<CallOptions, 'seed' | 'requestId'>,
  { models, journal, signal, others: roles }: BatchResources & { journal: Journal },
): Promise<Answer<T>> {
  const others = roles.get(role) ?? new PeerOutcomes();
  roles.set(role, others);
  const watch = others.watch();
  for (;;) {
    signal.throwIfAborted();
    const { client, served } = models.of(role);
    try {
      const answer = await put(client, served, { ...how, signal, failedBefore: journal.failures(name) > 0 });
      others.answered();
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      const failure = failureOf(error);
      if (!failure) {
        if (error instanceof Rejected || error instanceof TooLong) others.answered();
        throw error;
      }
      others.failed();
      const { answered, failed } = watch.look();
      const itself =
        failure.alone ||
        (failure.path !== '/tokenize' && answered > failed) ||
        (await (client.alive?.(served, like, signal, failure.path) ?? journal.requests > 0));
      if (!itself) throw error;
      const times = journal.failed(name, failure.kind, failure.said);
      if (times >= failure.most)
        throw new GivenUp(failure.reason, `${failure.kind}, ${times} times while others were answered: ${failure.said}`);
      await delay(Math.max(failure.wait, (PAUSE * 2 ** times * (1 + Math.random())) / 4), undefined, { signal }).catch(() => {});
    }
  }
}

/** Of an error that may be the fault of the one request that ended with it. */
function failureOf(error: unknown) {
  const about = { alone: false, path: undefined, wait: 0, reason: 'failed', most: GIVEN_UP.unavailable } as const;
  if (error instanceof Unusable) {
    const { message, reply, path } = error;
    return {
      ...about,
      kind: 'unusable',
      path,
      reason: 'rejected',
      most: GIVEN_UP.unusable,
      said: `${message} The reply: ${reply}`,
    } as const;
  }
  if (error instanceof Unavailable) {
    const { failure: kind, alone, wait, message: said } = error;
    return { ...about, kind, alone, wait, said, most: kind === 'timeout' ? GIVEN_UP.timeout : GIVEN_UP.unavailable };
  }
  if (!(error instanceof BackspinError) || (error.type !== 'Down' && error.type !== 'Overloaded')) return undefined;
  return { ...about, kind: error.type, said: error.message };
}

/** Hash of what is asked: 16 hex. */
export const questionOf = (kind: 'chat' | 'complete' | 'score', role: string, prompt: unknown, sampling?: Sampling): string =>
  sha256(JSON.stringify([kind, role, prompt, sampling && canonicalJson(sampling)])).slice(0, 16);

/** What an operator has beside its models. It throws for what the key of its step does not hold. */
export const recordContextOf = (
  record: Rec<unknown>,
  { operation, operator, stepKey, params, prompts }: Link,
  { registry, seed, signal }: Pick<BatchResources, 'registry' | 'seed' | 'signal'>,
): RecordContext => ({
  prompt(name, slots) {
    if (prompts.includes(name)) return registry.prompt(name).render(slots as never);
    throw new BackspinError(
      'ConfigError',
      `${operation} asks by the prompt ${name}, which is none of its parameters: take its name from one.`,
    );
  },
  random(name) {
    if (operator.declaresStochastic && operator.stochastic(params)) return stream(`${seed}/${stepKey}/${record.id}/${name}`);
    throw new BackspinError('ConfigError', `${operation} uses \`random\` and does not say so: add \`stochastic: () => true\` to it.`);
  },
  signal,
});

/** Checks that a request that samples is of an operator that draws. */
function drawn({ operation, operator, params }: Link, sampling: Sampling): Sampling {
  if (sampling.temperature === 0 || operator.stochastic(params)) return sampling;
  throw new BackspinError(
    'ConfigError',
    `${operation} samples at temperature ${sampling.temperature}, and its result is not known to depend on the seed: add \`stochastic: () => true\` to it.`,
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
