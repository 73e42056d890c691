/** The interface between the supervisor of a model server and the program that serves: how to start, find, check and reload it. */
import axios from 'axios';
import type { Launch } from '../subprocess.ts';

/** Served name -> weights, and for an adapter its base. A name stands for the same weights for ever. */
export interface ServedModels {
  readonly [served: string]: { readonly folder: string; readonly base: string | null };
}

/** Address of a server. Every start makes a new object, so a client can tell a restart from a transient failure. */
export interface Endpoint {
  readonly url: string;
  readonly key: string;
}

/** An engine for one lease and its models. It may keep state about its server. */
export interface Engine {
  /** What no running server can change. A lease with the same `warmth` can reuse a warm server. */
  readonly warmth: string;
  /** Devices that the server computes on, if its group has any. */
  readonly devices: number;
  /** Milliseconds between two checks and for a reply. After `misses` failures in a row the server counts as hung. */
  readonly health: { readonly every: number; readonly timeout: number; readonly misses: number };
  /** Writes the files that the server reads to `folder` and returns the command that starts it. */
  prepare(folder: string, key: string): Promise<Pick<Launch, 'command' | 'env'>>;
  /** Looks once for the server of this folder. Returns its URL, or undefined while it does not answer yet. */
  find(folder: string, key: string, signal: AbortSignal): Promise<string | undefined>;
  /** Checks once whether the server still works. Otherwise it rejects, or hangs until `signal` aborts. */
  check(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
  /** Makes an adopted server load our models and unload all others. Rejects if that fails. */
  load(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
}

/** Sends a request to the server's own API and returns the text of the reply. Rejects with the text if the server refuses. */
export async function sendRequest(
  { url, key }: Endpoint,
  method: string,
  path: string,
  signal: AbortSignal,
  body?: object,
): Promise<string> {
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
