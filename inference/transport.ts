/** One request to an OpenAI-compatible server, over bad moments and restarts of the server. */
import { setTimeout as delay } from 'node:timers/promises';
import axios, { AxiosError, isCancel, type AxiosInstance, type AxiosResponse } from 'axios';
import { BackspinError } from '../schemas/errors.ts';
import { exchangeBy } from './exchange.ts';

export interface Endpoint {
  readonly url: string;
  /** null: it asks for none. */
  readonly key: string | null;
}

/** The server refuses what this record asks, and would again: the record is dropped, not the batch. */
export class Rejected extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'Rejected';
    this.status = status;
  }
}

/** The moment is bad, or this request is one that the server never answers: which, others tell. */
export class Unavailable extends BackspinError {
  declare readonly type: 'Overloaded' | 'Down';
  /** Status, `timeout`, `no JSON`, or `no reply`. */
  readonly failure: string;
  /** Milliseconds that the server asks to wait. */
  readonly wait: number;
  /** It was found that the server answers others meanwhile. */
  readonly alone: boolean;
  constructor(
    type: 'Overloaded' | 'Down',
    message: string,
    { failure, wait, alone = false }: { failure: string; wait: number; alone?: boolean },
  ) {
    super(type, message);
    this.failure = failure;
    this.wait = wait;
    this.alone = alone;
  }
  /** The same, of a request that fails by itself. */
  byItself(): Unavailable {
    return new Unavailable(this.type, this.message, { failure: this.failure, wait: this.wait, alone: true });
  }
}

/** A reply that nothing can be made of. If every reply is so, the server lacks something. */
export class Unusable extends BackspinError {
  /** Of the server. */
  readonly path: string;
  /** What it said. */
  readonly reply: string;
  constructor(path: string, message: string, reply: string) {
    super('CapabilityMissing', message);
    this.path = path;
    this.reply = reply;
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
  /** Milliseconds for one try, its reply included. Default: ten minutes, and a tenth of a second for each token that may be written. */
  readonly timeout?: number | undefined;
  /** Tries at a server that was not started anew in between. Default: 4. */
  readonly tries?: number;
  /** Longest pause, in milliseconds, before the second try; it doubles with every further one. Default: 250. */
  readonly pause?: number;
}
export interface RequestOptions {
  /** Sent as X-Request-Id, the same in every try. */
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** It failed before, while the server answered others: that it does again is no sign for them. */
  readonly failedBefore?: boolean;
}
/** Milliseconds. */
const TIMEOUT = { itself: 600_000, token: 100 };

/** Milliseconds; a longer Retry-After is cut. */
const LONGEST_WAIT = 3_600_000;
/** About the record, not about the moment. */
const REJECTIONS = [400, 413, 422];
/** The server, or what stands before it, has no room just now. */
const CROWDED = [408, 409, 425, 429, 503, 504, 529];
/** About the moment. 401 and 404 too: at the address of a server that has just gone another one may answer. */
const passing = (status: number) => status >= 500 || [401, 404, ...CROWDED].includes(status);

type Body = { readonly max_tokens?: number };

export class Transport {
  readonly #endpoint: TransportOptions['endpoint'];
  readonly #timeout: number | undefined;
  readonly #tries: number;
  readonly #pause: number;
  readonly #axios: AxiosInstance;

  constructor({ endpoint, sockets, timeout, tries = 4, pause = 250 }: TransportOptions) {
    this.#endpoint = endpoint;
    this.#timeout = timeout;
    this.#tries = tries;
    this.#pause = pause;
    this.#axios = axios.create({
      adapter: exchangeBy(sockets),
      validateStatus: (status) => status < 300,
      // Text both ways, parsed here: a proxy's error page is no JSON, and its status counts all the same.
      transformRequest: [],
      transformResponse: [],
    });
  }

  /**
   * The body of the reply. Throws Rejected (the record's fault), Unusable, Unavailable after so many tries at one server, what `endpoint`
   * throws when there is no server any more, the signal's reason on abort.
   */
  async request(method: 'get' | 'post', path: string, body: Body | undefined, { requestId, signal }: RequestOptions): Promise<unknown> {
    const timeout = this.#timeout ?? TIMEOUT.itself + TIMEOUT.token * (body?.max_tokens ?? 0);
    let asked: Endpoint | undefined;
    let silent: Endpoint | undefined;
    for (let tries = 1; ; tries++) {
      const endpoint = await this.#endpoint(signal, silent);
      if (endpoint !== asked) tries = 1;
      asked = endpoint;
      const { url, key } = endpoint;
      signal.throwIfAborted();
      // By hand: what AbortSignal.timeout and AbortSignal.any make is kept long after its request is over.
      const ended = new AbortController();
      const end = () => ended.abort();
      const timer = setTimeout(end, timeout);
      signal.addEventListener('abort', end);
      try {
        const { data } = await this.#axios.request<string>({
          method,
          url: url + path,
          data: body && JSON.stringify(body),
          headers: {
            ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
            'X-Request-Id': requestId,
            'Content-Type': 'application/json',
            'Accept-Encoding': 'identity',
          },
          signal: ended.signal,
        });
        return JSON.parse(data);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AxiosError || error instanceof SyntaxError)) throw error;
        const response = error instanceof AxiosError ? refusal(error) : undefined;
        const status = response?.status;
        const said = response ? sentence(response, key) : isCancel(error) ? `no reply within ${timeout} ms` : words(error);
        if (status !== undefined && REJECTIONS.includes(status)) throw new Rejected(status, said);
        const wait = retryAfter(response);
        if ((status !== undefined && !passing(status)) || tries >= this.#tries)
          throw status === undefined ? silence(isCancel(error) ? 'timeout' : error, path, said) : failure(status, path, said, wait);
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
function failure(status: number, path: string, said: string, wait: number): BackspinError {
  const how = { failure: `${status}`, wait };
  if (CROWDED.includes(status)) return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, how);
  if (status < 500)
    return new Unusable(path, `The model server refuses ${path} with status ${status}: ${said}`, `status ${status}: ${said}`);
  return new Unavailable('Down', `The model server does not answer ${path}: status ${status}, ${said}`, how);
}
function silence(error: unknown, path: string, said: string): Unavailable {
  if (error === 'timeout')
    return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, { failure: 'timeout', wait: 0 });
  const failure = error instanceof SyntaxError ? 'no JSON' : 'no reply';
  return new Unavailable('Down', `The model server does not answer ${path}: ${said}`, { failure, wait: 0 });
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
