/** What a supervisor must know of the program that serves models: how it is started, found, asked and given other models. */
import axios from 'axios';
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

/** For one lease and its models; it may remember what it has seen of its server. */
export interface Engine {
  /** What no running server can change: a warm server is taken over by a lease with an equal one. */
  readonly warmth: string;
  /** How many it computes on, where its group has any. */
  readonly devices: number;
  /** Milliseconds between two looks and for an answer; so many misses in a row are a hung server. */
  readonly health: { readonly every: number; readonly timeout: number; readonly misses: number };
  /** Leaves in `folder` what the server is to read, and what it is found by; says how it is started. */
  prepare(folder: string, key: string): Promise<Pick<Launch, 'command' | 'env'>>;
  /** Looks once for the server of this folder: its URL, or undefined while it does not answer yet. */
  find(folder: string, key: string, signal: AbortSignal): Promise<string | undefined>;
  /** Looks once whether the server still does its work; rejects, or hangs until `signal` aborts, where it does not. */
  check(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
  /** Has a server that was taken over serve our models and no others, which it may do already. Rejects where it does not. */
  load(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
}

/** A request to a server's own interface: the text of the reply. Rejects with what it answers when that is a refusal. */
export async function ask({ url, key }: Endpoint, method: string, path: string, signal: AbortSignal, body?: object): Promise<string> {
  const { status, data } = await axios.request<string>({
    url: url + path,
    method,
    headers: { authorization: `Bearer ${key}` },
    data: body,
    signal,
    responseType: 'text',
    transformResponse: (text: string) => text,
    validateStatus: () => true,
    proxy: false,
  });
  if (status < 200 || status > 299) throw new Error(`${status} ${data}`);
  return data;
}
