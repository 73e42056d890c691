/** An axios adapter on Node's own HTTP client, without axios' overhead: each record costs one exchange. */
import { Agent, request as plain, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secure } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { AxiosError, CanceledError, type AxiosAdapter, type AxiosResponse } from 'axios';

/** `data` and the reply are text. Follows no redirects. A reply that breaks off is an error without a response. */
export function createHttpAdapter(sockets: number): AxiosAdapter {
  // Close idle sockets before the server does (uvicorn: 5 s); otherwise a request may hit a closed socket.
  const options = { keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets, scheduling: 'lifo', timeout: 4_000 } as const;
  const [agent, secureAgent] = [new Agent(options), new SecureAgent(options)];
  /** Parsed URLs: parsing costs more than keeping them. */
  const addresses = new Map<string, ReturnType<typeof urlToHttpOptions>>();
  return (config) =>
    new Promise((resolve, reject) => {
      const url = config.url!;
      const address = addresses.get(url) ?? urlToHttpOptions(new URL(url));
      addresses.set(url, address);
      const body = config.data === undefined ? undefined : Buffer.from(config.data as string);
      const headers = { ...config.headers.toJSON(), ...(body && { 'content-length': body.length }) } as Record<string, string | number>;
      const requestOptions = { ...address, method: config.method!.toUpperCase(), headers };
      const sent = address.protocol === 'https:' ? secure({ ...requestOptions, agent: secureAgent }) : plain({ ...requestOptions, agent });
      const removeAbortListener = () => config.signal?.removeEventListener?.('abort', abort);
      const fail = (error: NodeJS.ErrnoException) => {
        removeAbortListener();
        reject(new AxiosError(error.message || error.code, error.code, config, sent));
      };
      const abort = () => {
        removeAbortListener();
        reject(new CanceledError(undefined, config, sent));
        sent.destroy();
      };
      config.signal?.addEventListener?.('abort', abort);
      sent.on('error', fail);
      sent.on('response', (reply: IncomingMessage) => {
        const chunks: Buffer[] = [];
        reply.on('data', (chunk: Buffer) => chunks.push(chunk));
        reply.on('error', fail);
        reply.on('end', () => {
          removeAbortListener();
          const data = (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString();
          const response: AxiosResponse<string> = {
            data,
            status: reply.statusCode!,
            statusText: reply.statusMessage!,
            headers: reply.headers as AxiosResponse['headers'],
            config,
            request: sent,
          };
          if (config.validateStatus?.(response.status) ?? true) resolve(response);
          else reject(new AxiosError(`status ${response.status}`, AxiosError.ERR_BAD_RESPONSE, config, sent, response));
        });
      });
      sent.end(body);
    });
}
