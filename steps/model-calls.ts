/** Gives an operator its context: journaled model calls and random numbers. */
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

type Answer<T> = { readonly reply: T; readonly tokens: number; readonly written?: number };
type CallOptions = Readonly<Record<'requestId', string> & Record<'seed', number> & { signal: AbortSignal; failedBefore: boolean }>;
interface ModelCall<T> {
  readonly role: string;
  /** Hash of the request. */
  readonly hash: string;
  /** The prompt, for a liveness request of the same kind. */
  readonly similarTo: Prompt | 'score';
  /** Sends the request to a model by its served name. */
  send(client: Client, served: string, options: CallOptions): Promise<Answer<T>>;
}

/** Errors of calls. They concern the server, whichever record made the call. */
export const failedCalls = new WeakSet<Error>();

/** Shared by the records of a batch. */
export interface BatchResources {
  readonly registry: Registry;
  readonly seed: number;
  readonly models: Models;
  /** Outcomes of the step's requests by role, to tell a failing request from a failing server. */
  readonly peers: Map<string, PeerOutcomes>;
  readonly signal: AbortSignal;
}

/** What calls need of a journal. */
type CallJournal = Pick<Journal, 'call' | 'failed' | 'failures' | 'requests'>;
/** The journal, and the attempts made at this record. */
export interface RecordJournal {
  readonly journal: CallJournal;
  readonly made: { attempts: number };
}

/** Builds the context of an operator for one record. A call is identified by its record, its request, and the number of equal earlier
 *  requests of the record, never by its time. */
export function operatorContext(record: Rec<unknown>, op: number, link: Link, work: BatchResources & RecordJournal): Context<string> {
  const { journal, seed } = work;
  const { operator, stepKey } = link;
  const most = operator.calls(link.params);
  let calls = 0;
  const owner = `${op}/${record.id}`;
  const timesCalled = new Map<string, number>();
  const call = <T>(question: ModelCall<T>): Promise<T> => {
    if (++calls > most) throw new Error(`it makes more calls for one record than ${most}, which its \`calls\` gives as the most`);
    const { hash } = question;
    const before = timesCalled.get(hash) ?? 0;
    timesCalled.set(hash, before + 1);
    const name = { r: owner, n: `${hash}/${before}` };
    const options = { seed: seedOf(seed, stepKey, record.id, hash, before), requestId: `${stepKey.slice(0, 16)}/${owner}/${name.n}` };
    const reply = journal.call(name, async () => {
      const { reply, written = 0, tokens } = await callWithRetries(question, name, options, work);
      return { reply, role: question.role, written, tokens };
    });
    return reply.catch((error: Error) => {
      failedCalls.add(error);
      throw error;
    });
  };
  return {
    chat: (role, messages, sampling: Sampling) =>
      call<Reply>({
        role,
        hash: questionOf('chat', role, messages, sampling),
        similarTo: { messages },
        send: (client, served, options) => client.chat(served, messages, checkStochastic(link, sampling), options),
      }),
    complete: (role, prompt: Prompt, sampling: Sampling) =>
      call<Reply>({
        role,
        hash: questionOf('complete', role, prompt, sampling),
        similarTo: prompt,
        send: (client, served, options) => client.complete(served, prompt, checkStochastic(link, sampling), options),
      }),
    score: (role, prompt: Prompt, continuations: readonly string[]) =>
      call<readonly (readonly TokenScore[])[]>({
        role,
        hash: questionOf('score', role, [prompt, continuations]),
        similarTo: 'score',
        send: (client, served, options) => client.score(served, prompt, continuations, options),
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

/** A call has failed too often while its server answered others: its record is dropped. */
export class GivenUp extends Error {
  readonly reason: 'failed' | 'rejected';
  constructor(reason: 'failed' | 'rejected', message: string) {
    super(message);
    this.name = 'GivenUp';
    this.reason = reason;
  }
}

/** Failures of one kind after which a call is given up. Each `unavailable` failure stands for several tries of the client with pauses; a
 *  timeout for tries that each took the full time. */
const MAX_FAILURES = { unavailable: 3, timeout: 1, unusable: 2 };
/** Milliseconds before a failed call is sent again; every further failure doubles the pause. */
const PAUSE = 500;

/** Sends a call until the server answers. Throws GivenUp if the request is at fault, and the client's error if the server is. */
async function callWithRetries<T>(
  { role, similarTo, send }: ModelCall<T>,
  name: CallName,
  options: Pick<CallOptions, 'seed' | 'requestId'>,
  { models, journal, signal, peers: peersByRole }: BatchResources & { journal: CallJournal },
): Promise<Answer<T>> {
  const peers = peersByRole.get(role) ?? new PeerOutcomes();
  peersByRole.set(role, peers);
  const watch = peers.watch();
  for (;;) {
    signal.throwIfAborted();
    const { client, served } = models.of(role);
    try {
      const answer = await send(client, served, { ...options, signal, failedBefore: journal.failures(name) > 0 });
      peers.answered();
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      const failure = failureOf(error);
      if (!failure) {
        if (error instanceof Rejected || error instanceof TooLong) peers.answered();
        throw error;
      }
      peers.failed();
      const { answered, failed } = watch.look();
      const isOwnFault =
        failure.isOwnFault ||
        (failure.path !== '/tokenize' && answered > failed) ||
        (await (client.alive?.(served, similarTo, signal, failure.path) ?? journal.requests > 0));
      if (!isOwnFault) throw error;
      const times = journal.failed(name, failure.kind, failure.message);
      if (times >= failure.limit)
        throw new GivenUp(failure.reason, `${failure.kind}, ${times} times while others were answered: ${failure.message}`);
      await delay(Math.max(failure.wait, (PAUSE * 2 ** times * (1 + Math.random())) / 4), undefined, { signal }).catch(() => {});
    }
  }
}

/** Classifies an error for which the request itself may be at fault; undefined for all others. */
function failureOf(error: unknown) {
  const defaults = { isOwnFault: false, path: undefined, wait: 0, reason: 'failed', limit: MAX_FAILURES.unavailable } as const;
  if (error instanceof Unusable) {
    const { message, reply, path } = error;
    return {
      ...defaults,
      kind: 'unusable',
      path,
      reason: 'rejected',
      limit: MAX_FAILURES.unusable,
      message: `${message} The reply: ${reply}`,
    } as const;
  }
  if (error instanceof Unavailable) {
    const { failure: kind, isOwnFault, wait, message } = error;
    return { ...defaults, kind, isOwnFault, wait, message, limit: kind === 'timeout' ? MAX_FAILURES.timeout : MAX_FAILURES.unavailable };
  }
  if (!(error instanceof BackspinError) || (error.type !== 'Down' && error.type !== 'Overloaded')) return undefined;
  return { ...defaults, kind: error.type, message: error.message };
}

/** Hash of a request: 16 hex digits. */
export const questionOf = (kind: 'chat' | 'complete' | 'score', role: string, prompt: unknown, sampling?: Sampling): string =>
  sha256(JSON.stringify([kind, role, prompt, sampling && canonicalJson(sampling)])).slice(0, 16);

/** The parts of an operator's context other than models. They throw for prompts and random numbers that the step's key does not cover. */
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

/** Throws if an operator samples but is not declared `stochastic`. */
function checkStochastic({ operation, operator, params }: Link, sampling: Sampling): Sampling {
  if (sampling.temperature === 0 || operator.stochastic(params)) return sampling;
  throw new BackspinError(
    'ConfigError',
    `${operation} samples at temperature ${sampling.temperature}, and its result is not known to depend on the seed: add \`stochastic: () => true\` to it.`,
  );
}

/** Seed of a request, 31 bits, from the experiment's seed, the step, the record, the request and the number of equal earlier ones. */
export const seedOf = (seed: number, stepKey: string, record: string, question: string, n: number): number =>
  Number.parseInt(sha256(`${seed}/${stepKey}/${record}/${question}/${n}`).slice(0, 8), 16) >>> 1;

/** Random numbers in [0, 1) with 32 bits each, by hashing a counter. */
export function stream(name: string): () => number {
  let n = 0;
  return () => Number.parseInt(sha256(`${name}/${n++}`).slice(0, 8), 16) / 2 ** 32;
}
