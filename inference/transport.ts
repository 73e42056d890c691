/** Sends one request to an OpenAI-compatible server and retries it over transient failures and restarts of the server. */
import { setTimeout as delay } from 'node:timers/promises';
import { AxiosError, AxiosHeaders, isCancel, type AxiosAdapter, type AxiosResponse } from 'axios';
import { BackspinError } from '../schemas/errors.ts';
import { createHttpAdapter } from './exchange.ts';

export interface Endpoint {
  readonly url: string;
  /** null: the server needs no key. */
  readonly key: string | null;
}

/** The server refuses this record's request and would refuse it again. Only the record is dropped. */
export class Rejected extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'Rejected';
    this.status = status;
  }
}

/** The server is overloaded or down, or it never answers this one request. Outcomes of other requests tell which. */
export class Unavailable extends BackspinError {
  declare readonly type: 'Overloaded' | 'Down';
  /** Status, `timeout`, `no JSON`, or `no reply`. */
  readonly failure: string;
  /** The server's Retry-After, in milliseconds. */
  readonly wait: number;
  /** The server answers other requests, so the fault is in this one. */
  readonly isOwnFault: boolean;
  constructor(
    type: 'Overloaded' | 'Down',
    message: string,
    { failure, wait, isOwnFault = false }: { failure: string; wait: number; isOwnFault?: boolean },
  ) {
    super(type, message);
    this.failure = failure;
    this.wait = wait;
    this.isOwnFault = isOwnFault;
  }
  /** The same error for a request that fails while the server answers others. */
  asOwnFault(): Unavailable {
    return new Unavailable(this.type, this.message, { failure: this.failure, wait: this.wait, isOwnFault: true });
  }
}

/** A reply that the client cannot use. If every reply is unusable, the server lacks a capability. */
export class Unusable extends BackspinError {
  /** Endpoint of the server. */
  readonly path: string;
  /** The reply, shortened. */
  readonly reply: string;
  constructor(path: string, message: string, reply: string) {
    super('CapabilityMissing', message);
    this.path = path;
    this.reply = reply;
  }
}

export interface TransportOptions {
  /** Returns the server's address and waits while the server is down. Returns a new object after each restart. Rejects if the server is
   *  given up, or on abort. `silent` is an endpoint that did not answer, or answered with a server error. */
  readonly endpoint: (signal: AbortSignal, silent?: Endpoint) => Promise<Endpoint>;
  /** The most open sockets. */
  readonly sockets: number;
  /** Milliseconds for one try, including the reply. Default: ten minutes, plus 0.1 s per token of `max_tokens`. */
  readonly timeout?: number | undefined;
  /** Whether requests go through the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). Default: false. */
  readonly proxied?: boolean;
  /** Tries before giving up, counted anew after each restart of the server. Default: 4. */
  readonly tries?: number;
  /** Longest pause, in milliseconds, before the second try; every further try doubles it. Default: 250. */
  readonly pause?: number;
}
export interface RequestOptions {
  /** Sent as X-Request-Id, the same for every try. */
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** The request failed before while the server answered others, so another failure says nothing about the server. */
  readonly failedBefore?: boolean;
}
/** Milliseconds: in total, and per token of `max_tokens`. */
const TIMEOUT = { itself: 600_000, token: 100 };

/** Milliseconds. A longer Retry-After is cut to this. */
const LONGEST_WAIT = 3_600_000;
/** The request is at fault: another try would get the same answer. */
const REJECTED_STATUSES = [400, 413, 422];
/** The server, or a proxy in front of it, is overloaded. */
const OVERLOADED_STATUSES = [408, 409, 425, 429, 503, 504, 529];
/** Another try may succeed. This includes 401 and 404: another server may answer at the address of one that has just stopped. */
const isTransient = (status: number) => status >= 500 || [401, 404, ...OVERLOADED_STATUSES].includes(status);

type Body = { readonly max_tokens?: number; readonly max_completion_tokens?: number };

export class Transport {
  readonly #endpoint: TransportOptions['endpoint'];
  readonly #timeout: number | undefined;
  readonly #tries: number;
  readonly #pause: number;
  /** Called without axios' own request, which merges options for longer than the exchange takes. */
  readonly #exchange: AxiosAdapter;

  constructor({ endpoint, sockets, timeout, proxied = false, tries = 4, pause = 250 }: TransportOptions) {
    this.#endpoint = endpoint;
    this.#timeout = timeout;
    this.#tries = tries;
    this.#pause = pause;
    this.#exchange = createHttpAdapter(sockets, proxied);
  }

  /** Returns the parsed reply. Throws Rejected (the record's fault), Unusable, Unavailable after `tries` tries at one server, the error of
   *  `endpoint` if the server is given up, or the signal's reason on abort. */
  async request(method: 'get' | 'post', path: string, body: Body | undefined, { requestId, signal }: RequestOptions): Promise<unknown> {
    const timeout = this.#timeout ?? TIMEOUT.itself + TIMEOUT.token * (body?.max_tokens ?? body?.max_completion_tokens ?? 0);
    let lastEndpoint: Endpoint | undefined;
    let unresponsive: Endpoint | undefined;
    for (let tries = 1; ; tries++) {
      const endpoint = await this.#endpoint(signal, unresponsive);
      if (endpoint !== lastEndpoint) tries = 1;
      lastEndpoint = endpoint;
      const { url, key } = endpoint;
      signal.throwIfAborted();
      // By hand: signals of AbortSignal.timeout and AbortSignal.any outlive their request.
      const attempt = new AbortController();
      const end = () => attempt.abort();
      const timer = setTimeout(end, timeout);
      signal.addEventListener('abort', end);
      try {
        const response = (await this.#exchange({
          method,
          url: url + path,
          data: body && JSON.stringify(body),
          headers: new AxiosHeaders({
            ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
            'X-Request-Id': requestId,
            'Content-Type': 'application/json',
            'Accept-Encoding': 'identity',
          }),
          signal: attempt.signal,
          validateStatus: (status) => status < 300,
        })) as AxiosResponse<string>;
        const reply: unknown = JSON.parse(response.data); // here: a proxy's error page is not JSON, but its status still counts
        const status = statusIn(reply);
        if (status === undefined) return reply;
        throw new AxiosError(`status ${status}`, AxiosError.ERR_BAD_RESPONSE, response.config, undefined, { ...response, status });
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AxiosError || error instanceof SyntaxError)) throw error;
        const response = error instanceof AxiosError ? errorResponse(error) : undefined;
        const status = response?.status;
        const description = response
          ? describeErrorReply(response, key)
          : isCancel(error)
            ? `no reply within ${timeout} ms`
            : describeError(error);
        if (status !== undefined && REJECTED_STATUSES.includes(status)) throw new Rejected(status, description);
        const wait = retryAfter(response);
        if ((status !== undefined && !isTransient(status)) || tries >= this.#tries)
          throw status === undefined
            ? noReplyError(isCancel(error) ? 'timeout' : error, path, description)
            : statusError(status, path, description, wait);
        unresponsive = status === undefined || status >= 500 ? endpoint : undefined;
        await delay(Math.max(Math.random() * this.#pause * 2 ** (tries - 1), wait), undefined, { signal }).catch(() => {});
        signal.throwIfAborted();
      } finally {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
      }
    }
  }
}

/** Sets no `cause`: axios' errors hold the key. */
function statusError(status: number, path: string, said: string, wait: number): BackspinError {
  const details = { failure: `${status}`, wait };
  if (OVERLOADED_STATUSES.includes(status))
    return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, details);
  if (status < 500)
    return new Unusable(path, `The model server refuses ${path} with status ${status}: ${said}`, `status ${status}: ${said}`);
  return new Unavailable('Down', `The model server does not answer ${path}: status ${status}, ${said}`, details);
}
function noReplyError(error: unknown, path: string, said: string): Unavailable {
  if (error === 'timeout')
    return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, { failure: 'timeout', wait: 0 });
  const failure = error instanceof SyntaxError ? 'no JSON' : 'no reply';
  return new Unavailable('Down', `The model server does not answer ${path}: ${said}`, { failure, wait: 0 });
}

/** The error reply. A reply that broke off has a good status and is not an error reply. */
const errorResponse = ({ response }: AxiosError): AxiosResponse<string> | undefined =>
  response && response.status >= 300 ? (response as AxiosResponse<string>) : undefined;

const describeError = (error: Error): string =>
  error instanceof SyntaxError ? `its reply is not JSON (${error.message}); is it an OpenAI-compatible API?` : error.message;

/** The status of an error that a gateway passes on as a success: it stands in the reply, or in its choice. */
function statusIn(reply: unknown): number | undefined {
  type Errors = { readonly error?: unknown; readonly code?: unknown; readonly object?: unknown };
  const { choices, ...whole } = (reply ?? {}) as Errors & { readonly choices?: readonly (Errors | null)[] };
  const error = whole.error ?? (Array.isArray(choices) ? choices[0]?.error : undefined) ?? (whole.object === 'error' ? whole : undefined);
  const code = Number((error as Errors | undefined)?.code);
  return code >= 400 && code < 600 ? code : undefined;
}

/** Characters of an error reply in a format of its own. */
const MAX_MESSAGE = 300;

/** The message of an error reply in the format of OpenAI or vLLM, with the key removed. */
function describeErrorReply({ data, statusText }: AxiosResponse<string>, key: string | null): string {
  const said = errorMessageIn(data) ?? (data.slice(0, MAX_MESSAGE) || statusText);
  return key === null ? said : said.replaceAll(key, '(the key)');
}
type ErrorReply = { readonly error?: { readonly message: unknown } | string; readonly message?: unknown };
function errorMessageIn(data: string): string | undefined {
  try {
    const reply = JSON.parse(data) as ErrorReply & { choices?: ErrorReply[] };
    const error = reply.error ?? reply.choices?.[0]?.error ?? reply;
    const said = typeof error === 'string' ? error : (error.message ?? (error === reply ? undefined : JSON.stringify(error)));
    return typeof said === 'string' ? said : JSON.stringify(said)?.slice(0, MAX_MESSAGE);
  } catch {
    return undefined;
  }
}

/** Retry-After in milliseconds; the header holds seconds or a date. */
function retryAfter(response: AxiosResponse | undefined): number {
  const value: unknown = response?.headers['retry-after'];
  if (typeof value !== 'string') return 0;
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Math.min(LONGEST_WAIT, Math.max(0, wait || 0));
}
