/** How axios exchanges with an HTTP server here: by Node's own client and nothing around it, since each record costs one exchange. */
import { Agent, request as plain, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secure } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { AxiosError, CanceledError, type AxiosAdapter, type AxiosResponse } from 'axios';

/** `data` and the reply are text. No redirect is followed. A reply that breaks off is an error without a response. */
export function exchangeBy(sockets: number): AxiosAdapter {
  // Idle sockets go before the server closes them (uvicorn: 5 s), or a request meets a closed one.
  const options = { keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets, scheduling: 'lifo', timeout: 4_000 } as const;
  const [agent, secureAgent] = [new Agent(options), new SecureAgent(options)];
  /** By address: to read one costs more than to keep it. */
  const addresses = new Map<string, ReturnType<typeof urlToHttpOptions>>();
  return (config) =>
    new Promise((resolve, reject) => {
      const url = config.url!;
      const address = addresses.get(url) ?? urlToHttpOptions(new URL(url));
      addresses.set(url, address);
      const body = config.data === undefined ? undefined : Buffer.from(config.data as string);
      const headers = { ...config.headers.toJSON(), ...(body && { 'content-length': body.length }) } as Record<string, string | number>;
      const how = { ...address, method: config.method!.toUpperCase(), headers };
      const sent = address.protocol === 'https:' ? secure({ ...how, agent: secureAgent }) : plain({ ...how, agent });
      const settled = () => config.signal?.removeEventListener?.('abort', stop);
      const failed = (error: NodeJS.ErrnoException) => {
        settled();
        reject(new AxiosError(error.message || error.code, error.code, config, sent));
      };
      const stop = () => {
        settled();
        reject(new CanceledError(undefined, config, sent));
        sent.destroy();
      };
      config.signal?.addEventListener?.('abort', stop);
      sent.on('error', failed);
      sent.on('response', (reply: IncomingMessage) => {
        const chunks: Buffer[] = [];
        reply.on('data', (chunk: Buffer) => chunks.push(chunk));
        reply.on('error', failed);
        reply.on('end', () => {
          settled();
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
