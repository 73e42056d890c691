/** One exchange with an HTTP server: Node's own client and nothing around it, since each record costs one. */
import { Agent, request as plain, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secure } from 'node:https';
import { urlToHttpOptions } from 'node:url';

export interface Received {
  readonly status: number;
  /** What goes with the status. */
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Nothing was received, or not all of it. */
export class NoReply extends Error {}

export class Http {
  readonly #agents: { readonly 'http:': Agent; readonly 'https:': SecureAgent };
  /** By address: to read one costs more than to keep it. */
  readonly #addresses = new Map<string, ReturnType<typeof urlToHttpOptions>>();

  constructor(sockets: number) {
    // Idle sockets go before the server closes them (uvicorn: 5 s), or a request meets a closed one.
    const options = { keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets, scheduling: 'lifo', timeout: 4_000 } as const;
    this.#agents = { 'http:': new Agent(options), 'https:': new SecureAgent(options) };
  }

  /** Whatever the status is; a redirect is not followed. Rejects with `NoReply`, or with what `stopped` is given when it is called. */
  send(
    method: 'get' | 'post',
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    stopped: (stop: (why: Error) => void) => void,
  ): Promise<Received> {
    const address = this.#addresses.get(url) ?? urlToHttpOptions(new URL(url));
    this.#addresses.set(url, address);
    const bytes = body === undefined ? undefined : Buffer.from(body);
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => reject(new NoReply(error.message || error.code));
      const options = {
        ...address,
        method: method.toUpperCase(),
        headers: { ...headers, ...(bytes && { 'content-length': bytes.length }) },
      };
      const sent: ClientRequest =
        address.protocol === 'https:'
          ? secure({ ...options, agent: this.#agents['https:'] }, (reply) => received(reply, resolve, failed))
          : plain({ ...options, agent: this.#agents['http:'] }, (reply) => received(reply, resolve, failed));
      sent.on('error', failed);
      stopped((why) => {
        reject(why);
        sent.destroy();
      });
      sent.end(bytes);
    });
  }
}

function received(reply: IncomingMessage, done: (received: Received) => void, failed: (error: Error) => void): void {
  const chunks: Buffer[] = [];
  reply.on('data', (chunk: Buffer) => chunks.push(chunk));
  reply.on('end', () => {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    done({ status: reply.statusCode!, reason: reply.statusMessage!, headers: reply.headers, text: bytes.toString() });
  });
  reply.on('error', failed); // it broke off
}
