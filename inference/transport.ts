/** One request to an OpenAI-compatible server, over bad moments and restarts of the server. */
import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import axios, { AxiosError, AxiosHeaders, isCancel, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { BackspinError } from '../schemas/errors.ts';

export interface Endpoint {
  readonly url: string;
  /** null: it asks for none. */
  readonly key: string | null;
}

/** The server refuses what this record asks, and would again: the record is dropped, not the shard. */
export class Rejected extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'Rejected';
    this.status = status;
  }
}

/** The moment is bad, not the request. */
export class Unavailable extends BackspinError {
  declare readonly type: 'Overloaded' | 'Down';
  /** Milliseconds that the server asks to wait. */
  readonly wait: number;
  constructor(type: 'Overloaded' | 'Down', message: string, wait: number) {
    super(type, message);
    this.wait = wait;
  }
}

export interface TransportOptions {
  /**
   * Waits while the server is down; gives a new object once it was started anew. Rejects when there will be none, or on abort. Is told
   * of one that did not answer, or answered with a fault of its own.
   */
  readonly endpoint: (signal: AbortSignal, silent?: Endpoint) => Promise<Endpoint>;
  /** Sockets. */
  readonly sockets: number;
  /** Milliseconds for one try, its reply included. Default: 600,000. */
  readonly timeout?: number;
  /** Tries at a server that was not started anew in between. Default: 4. */
  readonly tries?: number;
  /** Longest pause, in milliseconds, before the second try; it doubles with every further one. Default: 250. */
  readonly pause?: number;
}
export interface RequestOptions {
  /** Sent as X-Request-Id, the same in every try. */
  readonly requestId: string;
  readonly signal: AbortSignal;
}

/** Milliseconds; a longer Retry-After is cut. */
const LONGEST_WAIT = 3_600_000;
/** About the record, not about the moment. */
const REJECTIONS = [400, 413, 422];
/** The server, or what stands before it, has no room just now. */
const CROWDED = [408, 409, 425, 429, 503, 504, 529];
/** About the moment. 401 and 404 too: at the address of a server that has just gone another one may answer. */
const passing = (status: number) => status >= 500 || [401, 404, ...CROWDED].includes(status);

/** Without what `axios.request` does around it, which takes a quarter of the processor time of a request and changes none of ours. */
const send = axios.getAdapter('http');

export class Transport {
  readonly #endpoint: TransportOptions['endpoint'];
  readonly #timeout: number;
  readonly #tries: number;
  readonly #pause: number;
  readonly #config: Omit<InternalAxiosRequestConfig, 'headers'>;

  constructor({ endpoint, sockets, timeout = 600_000, tries = 4, pause = 250 }: TransportOptions) {
    this.#endpoint = endpoint;
    this.#timeout = timeout;
    this.#tries = tries;
    this.#pause = pause;
    // Idle sockets go before the server closes them (uvicorn: 5 s), or a request meets a closed one.
    const agent = { keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets, scheduling: 'lifo', timeout: 4_000 } as const;
    this.#config = {
      validateStatus: (status) => status < 300,
      httpAgent: new Agent(agent),
      httpsAgent: new SecureAgent(agent),
      maxRedirects: 0,
      proxy: false,
      decompress: false,
      // Parsed here: a proxy's error page is no JSON, and its status counts all the same.
      responseType: 'text',
    };
  }

  /**
   * The body of the reply. Throws Rejected (the record's fault), CapabilityMissing (the server's), Unavailable after so many tries at
   * one server, what `endpoint` throws when there is no server any more, the signal's reason on abort.
   */
  async request(method: 'get' | 'post', path: string, body: object | undefined, { requestId, signal }: RequestOptions): Promise<unknown> {
    let asked: Endpoint | undefined;
    let silent: Endpoint | undefined;
    for (let tries = 1; ; tries++) {
      const endpoint = await this.#endpoint(signal, silent);
      if (endpoint !== asked) tries = 1;
      asked = endpoint;
      const { url, key } = endpoint;
      // By hand: what AbortSignal.timeout and AbortSignal.any make is kept long after its request is over.
      const ended = new AbortController();
      const end = () => ended.abort();
      const timer = setTimeout(end, this.#timeout);
      signal.addEventListener('abort', end);
      try {
        const { data } = await send({
          ...this.#config,
          method,
          url: url + path,
          data: body && JSON.stringify(body),
          headers: new AxiosHeaders({
            ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
            'X-Request-Id': requestId,
            'Content-Type': 'application/json',
            'Accept-Encoding': 'identity',
          }),
          signal: ended.signal,
        });
        return JSON.parse(data as string);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AxiosError || error instanceof SyntaxError)) throw error;
        const response = error instanceof AxiosError ? refusal(error) : undefined;
        const status = response?.status;
        const said = response ? sentence(response, key) : isCancel(error) ? `no reply within ${this.#timeout} ms` : words(error);
        if (status !== undefined && REJECTIONS.includes(status)) throw new Rejected(status, said);
        const wait = retryAfter(response);
        if ((status !== undefined && !passing(status)) || tries >= this.#tries)
          throw failure(status ?? (isCancel(error) ? 408 : undefined), path, said, wait);
        silent = status === undefined || status >= 500 ? endpoint : undefined;
        await delay(Math.max(Math.random() * this.#pause * 2 ** (tries - 1), wait), undefined, { signal }).catch(() => {});
        signal.throwIfAborted();
      } finally {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
      }
    }
  }
}

/** Without a cause: axios' errors hold the key. */
function failure(status: number | undefined, path: string, said: string, wait: number): BackspinError {
  if (status !== undefined && CROWDED.includes(status))
    return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, wait);
  if (status !== undefined && status < 500)
    return new BackspinError('CapabilityMissing', `The model server refuses ${path} with status ${status}: ${said}`);
  return new Unavailable(
    'Down',
    `The model server does not answer ${path}: ${status === undefined ? '' : `status ${status}, `}${said}`,
    wait,
  );
}

/** The reply that is the error. One that broke off has good headers, and is none. */
const refusal = ({ response }: AxiosError): AxiosResponse<string> | undefined =>
  response && response.status >= 300 ? (response as AxiosResponse<string>) : undefined;

const words = (error: Error): string =>
  error instanceof SyntaxError ? `its reply is not JSON (${error.message}); is it an OpenAI-compatible API?` : error.message;

/** What an error reply says, as OpenAI and vLLM write it; a key that it repeats is left out. */
function sentence({ data, statusText }: AxiosResponse<string>, key: string | null): string {
  const said = message(data) ?? (data.slice(0, 300) || statusText);
  return key === null ? said : said.replaceAll(key, '(the key)');
}
function message(data: string): string | undefined {
  try {
    const said = (JSON.parse(data) as { error: { message: string } | string }).error;
    return typeof said === 'string' ? said : said.message;
  } catch {
    return undefined;
  }
}

/** Milliseconds that the server asks to wait: seconds, or a date. */
function retryAfter(response: AxiosResponse | undefined): number {
  const value: unknown = response?.headers['retry-after'];
  if (typeof value !== 'string') return 0;
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Math.min(LONGEST_WAIT, Math.max(0, wait || 0));
}
