/** One request to an OpenAI-compatible server, over bad moments and restarts of the server. */
import { setTimeout as delay } from 'node:timers/promises';
import { BackspinError } from '../schemas/errors.ts';
import { Http, NoReply, type Received } from './exchange.ts';

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

/** The time for one try is over. */
class TimedOut extends Error {}
/** A status that is no success. */
class Refusal extends Error {
  readonly received: Received;
  constructor(received: Received) {
    super();
    this.received = received;
  }
}

export class Transport {
  readonly #endpoint: TransportOptions['endpoint'];
  readonly #timeout: number | undefined;
  readonly #tries: number;
  readonly #pause: number;
  readonly #http: Http;

  constructor({ endpoint, sockets, timeout, tries = 4, pause = 250 }: TransportOptions) {
    this.#endpoint = endpoint;
    this.#timeout = timeout;
    this.#tries = tries;
    this.#pause = pause;
    this.#http = new Http(sockets);
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
      signal.throwIfAborted();
      try {
        return await this.#tried(method, endpoint, path, body, requestId, timeout, signal);
      } catch (error) {
        signal.throwIfAborted();
        const refused = error instanceof Refusal ? error.received : undefined;
        if (!refused && !(error instanceof NoReply || error instanceof SyntaxError || error instanceof TimedOut)) throw error;
        const status = refused?.status;
        const said = refused ? sentence(refused, endpoint.key) : words(error as Error);
        if (status !== undefined && REJECTIONS.includes(status)) throw new Rejected(status, said);
        const wait = retryAfter(refused);
        if ((status !== undefined && !passing(status)) || tries >= this.#tries)
          throw status === undefined ? silence(error, path, said) : failure(status, path, said, wait);
        silent = status === undefined || status >= 500 ? endpoint : undefined;
        await delay(Math.max(Math.random() * this.#pause * 2 ** (tries - 1), wait), undefined, { signal }).catch(() => {});
        signal.throwIfAborted();
      }
    }
  }

  async #tried(
    method: 'get' | 'post',
    { url, key }: Endpoint,
    path: string,
    body: Body | undefined,
    requestId: string,
    timeout: number,
    signal: AbortSignal,
  ): Promise<unknown> {
    const headers = {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      'x-request-id': requestId,
      'content-type': 'application/json',
      accept: 'application/json',
      'accept-encoding': 'identity',
    };
    // By hand: what AbortSignal.timeout and AbortSignal.any make is kept long after its request is over.
    let stop: (why: Error) => void = () => {};
    const aborted = () => stop(signal.reason as Error);
    const timer = setTimeout(() => stop(new TimedOut(`no reply within ${timeout} ms`)), timeout);
    signal.addEventListener('abort', aborted);
    try {
      const received = await this.#http.send(method, url + path, headers, body && JSON.stringify(body), (how) => (stop = how));
      if (received.status >= 300) throw new Refusal(received);
      return JSON.parse(received.text);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
    }
  }
}

function failure(status: number, path: string, said: string, wait: number): BackspinError {
  const how = { failure: `${status}`, wait };
  if (CROWDED.includes(status)) return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, how);
  if (status < 500)
    return new Unusable(path, `The model server refuses ${path} with status ${status}: ${said}`, `status ${status}: ${said}`);
  return new Unavailable('Down', `The model server does not answer ${path}: status ${status}, ${said}`, how);
}
function silence(error: unknown, path: string, said: string): Unavailable {
  if (error instanceof TimedOut)
    return new Unavailable('Overloaded', `The model server has no room for ${path}: ${said}`, { failure: 'timeout', wait: 0 });
  const failure = error instanceof SyntaxError ? 'no JSON' : 'no reply';
  return new Unavailable('Down', `The model server does not answer ${path}: ${said}`, { failure, wait: 0 });
}

const words = (error: Error): string =>
  error instanceof SyntaxError ? `its reply is not JSON (${error.message}); is it an OpenAI-compatible API?` : error.message;

/** What an error reply says, as OpenAI and vLLM write it; a key that it repeats is left out. */
function sentence({ text, reason }: Received, key: string | null): string {
  const said = message(text) ?? (text.slice(0, 300) || reason);
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
function retryAfter(received: Received | undefined): number {
  const value = received?.headers['retry-after'];
  if (typeof value !== 'string') return 0;
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Math.min(LONGEST_WAIT, Math.max(0, wait || 0));
}
