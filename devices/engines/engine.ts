/** What a supervisor must know of the program that serves models: how it is started, found, asked and given other models. */
import type { Launch } from '../child.ts';

/** Served name -> weights, and for an adapter the base that it goes with. A name stands for the same weights for ever. */
export interface ServedModels {
  readonly [served: string]: { readonly folder: string; readonly base: string | null };
}

/** Where a server answers. A new object for every start, so that a client can tell a restart from a bad moment. */
export interface Endpoint {
  readonly url: string;
  readonly key: string;
}

/** What a sampled reply depends on beside its request. */
export interface Identity {
  readonly engine: string;
  readonly version: string;
  readonly dtype: string;
}

/** For one lease: it may remember what it has seen of its server. */
export interface Engine {
  /** What no running server can change: a parked server is taken over by a lease with an equal one. */
  warmth(models: ServedModels): string;
  /** Leaves in `folder` what the server is to read, and what it is found by; says how it is started. */
  prepare(folder: string, key: string, models: ServedModels): Promise<Pick<Launch, 'command' | 'env'>>;
  /** Looks once for the server of this folder: undefined while it does not answer yet. */
  find(folder: string, key: string, signal: AbortSignal): Promise<{ readonly url: string; readonly identity: Identity } | undefined>;
  /** Looks once whether the server still does its work; rejects, or hangs until `signal` aborts, where it does not. */
  check(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
  /** Has a server that was taken over serve these models and no others, which it may do already. Rejects where it does not. */
  load(endpoint: Endpoint, models: ServedModels, signal: AbortSignal): Promise<void>;
}

/** A request to a server's own interface: the text of the reply. Rejects with what it answers when that is a refusal. */
export async function ask({ url, key }: Endpoint, method: string, path: string, signal: AbortSignal, body?: object): Promise<string> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
    signal,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return text;
}
