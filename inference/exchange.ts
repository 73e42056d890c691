/** An axios adapter on undici, Node's HTTP client. Half of the CPU time of `node:http`, and each record costs one exchange. */
import { Agent, EnvHttpProxyAgent, type Dispatcher } from 'undici';
import { AxiosError, CanceledError, type AxiosAdapter, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';

/** Milliseconds. Idle connections close before the server closes them (uvicorn: 5 s); otherwise a request may hit a closed one. */
const IDLE = 4_000;
/** Milliseconds until a connection is established. */
const CONNECT = 30_000;

/** `data` and the reply are text. Follows no redirects. A reply that breaks off is an error without a response. `sockets`: the most open
 *  connections to a server. `proxied`: through the proxy of the environment, except to hosts in NO_PROXY. */
export function createHttpAdapter(sockets: number, proxied = false): AxiosAdapter {
  const options = { keepAliveTimeout: IDLE, headersTimeout: 0, bodyTimeout: 0, connect: { timeout: CONNECT } };
  const agent = new (proxied ? EnvHttpProxyAgent : Agent)({ connections: sockets, pipelining: 1, ...options });
  /** Origin and path by URL: parsing costs more than keeping them. */
  const addresses = new Map<string, { readonly origin: string; readonly path: string }>();
  return (config) =>
    new Promise((resolve, reject) => {
      const url = config.url!;
      const address = addresses.get(url) ?? addressOf(url);
      addresses.set(url, address);
      const { method, headers } = config;
      const request = { ...address, method: method!.toUpperCase(), headers: headers.toJSON() as Headers };
      agent.dispatch({ ...request, body: (config.data as string | undefined) ?? null }, new Exchange(config, resolve, reject));
    });
}
type Headers = Record<string, string>;

function addressOf(url: string) {
  const { origin, pathname, search } = new URL(url);
  return { origin, path: pathname + search };
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #config: InternalAxiosRequestConfig;
  readonly #resolve: (response: AxiosResponse<string>) => void;
  readonly #reject: (error: AxiosError) => void;
  readonly #chunks: Buffer[] = [];
  readonly #abort = () => {
    this.#fail(new CanceledError(undefined, this.#config));
    this.#controller?.abort(new Error('aborted'));
  };
  /** undefined until the request has a connection. */
  #controller: Dispatcher.DispatchController | undefined;
  #reply: Pick<AxiosResponse, 'status' | 'statusText' | 'headers'> | undefined;

  constructor(config: InternalAxiosRequestConfig, resolve: (response: AxiosResponse<string>) => void, reject: (error: AxiosError) => void) {
    this.#config = config;
    this.#resolve = resolve;
    this.#reject = reject;
    config.signal?.addEventListener?.('abort', this.#abort);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#config.signal?.aborted) controller.abort(new Error('aborted'));
  }
  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: object, statusText = ''): void {
    if (status >= 200) this.#reply = { status, statusText, headers: headers as AxiosResponse['headers'] };
  }
  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }
  onResponseEnd(): void {
    const config = this.#config;
    const data = (this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)).toString();
    const response: AxiosResponse<string> = { ...this.#reply!, data, config };
    this.#end();
    if (config.validateStatus?.(response.status) ?? true) this.#resolve(response);
    else this.#reject(new AxiosError(`status ${response.status}`, AxiosError.ERR_BAD_RESPONSE, config, undefined, response));
  }
  onResponseError(_: Dispatcher.DispatchController, { message, code }: NodeJS.ErrnoException): void {
    this.#fail(new AxiosError(message || code, code, this.#config));
  }

  #fail(error: AxiosError): void {
    this.#end();
    this.#reject(error);
  }
  #end(): void {
    this.#config.signal?.removeEventListener?.('abort', this.#abort);
  }
}
