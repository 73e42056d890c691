/** One request to an OpenAI-compatible server, over bad moments and restarts of the server. */
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import axios, { AxiosError, isCancel, type AxiosInstance, type AxiosResponse } from 'axios';
import { BackspinError } from '../schemas/errors.ts';

export interface Endpoint {
  readonly url: string;
  readonly key: string;
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

export interface TransportOptions {
  /** Waits while the server is down; gives a new object once it was started anew. Rejects when there will be none, or on abort. */
  readonly endpoint: (signal: AbortSignal) => Promise<Endpoint>;
  /** Sockets. */
  readonly sockets: number;
  /** Milliseconds for one try, its reply included. Default: 600,000. */
  readonly timeout?: number;
  /** Longest pause, in milliseconds, before the second try; it doubles with every further one. Default: 250. */
  readonly pause?: number;
}
export interface RequestOptions {
  /** Sent as X-Request-Id, the same in every try. */
  readonly requestId: string;
  readonly signal: AbortSignal;
}

/** Tries at a server that was not started anew in between. */
const TRIES = 4;
/** Milliseconds; a longer Retry-After is cut. */
const LONGEST_PAUSE = 60_000;
/** About the record, not about the moment. */
const REJECTIONS = [400, 413, 422];
/** About the moment. 401 and 404 too: at the address of a server that has just gone another one may answer. */
const passing = (status: number) => status >= 500 || [401, 404, 408, 409, 425, 429].includes(status);

export class Transport {
  readonly #endpoint: TransportOptions['endpoint'];
  readonly #timeout: number;
  readonly #pause: number;
  readonly #http: AxiosInstance;

  constructor({ endpoint, sockets, timeout = 600_000, pause = 250 }: TransportOptions) {
    this.#endpoint = endpoint;
    this.#timeout = timeout;
    this.#pause = pause;
    this.#http = axios.create({
      adapter: 'http',
      // Idle sockets go before the server closes them (uvicorn: 5 s), or a request meets a closed one.
      httpAgent: new Agent({ keepAlive: true, maxSockets: sockets, scheduling: 'lifo', timeout: 4_000 }),
      maxRedirects: 0,
      proxy: false,
      decompress: false,
      // Parsed here: a proxy's error page is no JSON, and its status counts all the same.
      responseType: 'text',
      transformResponse: (text: unknown) => text,
    });
  }

  /**
   * The body of the reply. Throws Rejected (the record's fault), CapabilityMissing (the server's), Overloaded or Down after four
   * tries at one server, what `endpoint` throws when there is no server any more, the signal's reason on abort.
   */
  async request(method: 'get' | 'post', path: string, body: object | undefined, { requestId, signal }: RequestOptions): Promise<unknown> {
    let asked: Endpoint | undefined;
    for (let tries = 1; ; tries++) {
      const endpoint = await this.#endpoint(signal);
      if (endpoint !== asked) tries = 1;
      asked = endpoint;
      // By hand: what AbortSignal.timeout and AbortSignal.any make is kept long after its request is over.
      const ended = new AbortController();
      const end = () => ended.abort();
      const timer = setTimeout(end, this.#timeout);
      signal.addEventListener('abort', end);
      try {
        const response = await this.#http.request<string>({
          method,
          url: endpoint.url + path,
          data: body,
          headers: { Authorization: `Bearer ${endpoint.key}`, 'X-Request-Id': requestId },
          signal: ended.signal,
        });
        return JSON.parse(response.data);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AxiosError || error instanceof SyntaxError)) throw error;
        const response = error instanceof AxiosError ? refusal(error) : undefined;
        const status = response?.status;
        const said = response ? sentence(response) : isCancel(error) ? `no reply within ${this.#timeout} ms` : error.message;
        if (status !== undefined && REJECTIONS.includes(status)) throw new Rejected(status, said);
        if (status !== undefined && !passing(status)) throw failure(status, path, said, error);
        if (tries === TRIES) throw failure(status, path, said, error);
        await delay(Math.max(Math.random() * this.#pause * 2 ** (tries - 1), retryAfter(response)), undefined, { signal }).catch(() => {});
        signal.throwIfAborted();
      } finally {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
      }
    }
  }
}

function failure(status: number | undefined, path: string, said: string, cause: Error): BackspinError {
  if (status === 429 || status === 503)
    return new BackspinError('Overloaded', `The model server has no room for ${path}: ${said}`, { cause });
  if (status !== undefined && status < 500)
    return new BackspinError('CapabilityMissing', `The model server refuses ${path} with status ${status}: ${said}`, { cause });
  return new BackspinError('Down', `The model server does not answer ${path}: ${status === undefined ? '' : `status ${status}, `}${said}`, {
    cause,
  });
}

/** The reply that is the error. One that broke off has good headers, and is none. */
const refusal = ({ response }: AxiosError): AxiosResponse<string> | undefined =>
  response && response.status >= 300 ? (response as AxiosResponse<string>) : undefined;

/** What an error reply says, as OpenAI and vLLM write it. */
function sentence({ data, statusText }: AxiosResponse<string>): string {
  try {
    const said = (JSON.parse(data) as { error: { message: string } | string }).error;
    return typeof said === 'string' ? said : said.message;
  } catch {
    return data.slice(0, 300) || statusText;
  }
}

/** Milliseconds that the server asks to wait: seconds, or a date. */
function retryAfter(response: AxiosResponse | undefined): number {
  const value: unknown = response?.headers['retry-after'];
  if (typeof value !== 'string') return 0;
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Math.min(LONGEST_PAUSE, Math.max(0, wait || 0));
}
