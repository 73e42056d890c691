/** Shows what a map asked about a record: runs its operators again, with the replies that are known in place of models. */
import type { Prompt, Rec, Sampling } from '../recipe/define.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { operatorCalls } from './call-inputs.ts';
import { loadParams, throughChain } from './chain.ts';
import { promptIds } from './definitions.ts';
import type { Client } from './models.ts';
import type { Registry } from './registry.ts';

/** A request about a record. */
export interface Exchange {
  readonly role: string;
  readonly prompt: Prompt;
  readonly sampling: Sampling | null;
  /** Continuations whose log-probabilities were asked for. */
  readonly continuations: readonly string[] | null;
  /** Text of the reply; null if the store does not have it any more. */
  readonly reply: string | null;
}

/** Replies by `OPERATOR/RECORD#HASH/TIMES`, as journals name them. */
export type KnownReplies = (call: string) => unknown;

interface Asked {
  readonly store: Store;
  readonly registry: Registry;
  readonly seed: number;
  readonly output: Pick<Output, 'operation' | 'params' | 'stepKey'>;
  readonly replies: KnownReplies;
}

/**
 * The requests that the operators of a map made about a source record, in order, up to the first whose reply decides what comes next and is
 * not known. The prompts are those of the present definitions: compare `changedSources` to know whether they are those of then.
 */
export async function exchangesOf(source: Rec<unknown>, { store, registry, seed, output, replies }: Asked): Promise<Exchange[]> {
  const { operation, stepKey } = output;
  const params = output.params as object;
  const call = { verb: 'map', operation, path: operation, label: operation, arm: null, round: null, inputs: { params } } as const;
  const chain = operatorCalls(call, registry).map((one) => {
    return { ...one, operation: one.id, stepKey, prompts: promptIds(one.params, registry) };
  });
  const exchanges: Exchange[] = [];
  const ask = async (role: string, requestId: string, about: Omit<Exchange, 'role' | 'reply'>) => {
    const owner = requestId.slice(requestId.indexOf('/') + 1); // behind the step's key
    const reply = replies(callOf(owner));
    exchanges.push({ role, ...about, reply: reply === undefined ? null : textOf(reply) });
    if (reply === undefined) throw new Unknown();
    return { reply, tokens: 0 } as never;
  };
  const clientOf = (role: string): Client => ({
    chat: (_, messages, sampling, { requestId }) => ask(role, requestId, { prompt: { messages }, sampling, continuations: null }),
    complete: (_, prompt, sampling, { requestId }) => ask(role, requestId, { prompt, sampling, continuations: null }),
    score: (_, prompt, continuations, { requestId }) => ask(role, requestId, { prompt, sampling: null, continuations }),
  });
  const models = { of: (role: string) => ({ client: clientOf(role), served: role }), concurrency: 1 };
  const journal = {
    call: async <T>(_: unknown, body: () => Promise<{ reply: T }>) => (await body()).reply,
    failed: () => 1,
    failures: () => 0,
    requests: 0,
  };
  const loaded = await loadParams(params, store);
  const work = { registry, seed, models, peers: new Map(), signal: new AbortController().signal, journal, made: { attempts: 0 } };
  await throughChain(source, { ...work, resolved: { chain }, params: loaded, skip: 0 }).catch((error: unknown) => {
    if (!(error instanceof Unknown)) throw error;
  });
  return exchanges;
}

/** The reply of a request is not known. */
class Unknown extends Error {}

/** `0/RECORD/HASH/TIMES` -> `0/RECORD#HASH/TIMES`. */
const callOf = (owner: string): string => {
  const [op, record, ...request] = owner.split('/');
  return `${op}/${record}#${request.join('/')}`;
};

const textOf = (reply: unknown): string =>
  typeof reply === 'object' && reply !== null && 'text' in reply ? String(reply.text) : JSON.stringify(reply);
