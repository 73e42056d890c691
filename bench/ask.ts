/** Sends requests to a model server over kept connections and does nothing else: the ceiling for throughput. */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';

interface Asked {
  readonly seconds: number;
  readonly replies: readonly unknown[];
}

/** Sends all requests, a fixed number at a time. Throws any reply other than 200. */
export async function ask(
  { url, key }: { readonly url: string; readonly key: string },
  requests: readonly object[],
  inFlight: number,
  path = '/v1/chat/completions',
): Promise<Asked> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight, maxFreeSockets: inFlight });
  const one = (body: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const sent = request(url + path, { method: 'POST', agent, headers }, (response) => {
        text(response).then((said) => (response.statusCode === 200 ? resolve(JSON.parse(said)) : reject(new Error(said))), reject);
      });
      sent.on('error', reject).end(body);
    });
  const replies: unknown[] = [];
  let next = 0;
  const lane = async () => {
    while (next < requests.length) {
      const n = next++;
      replies[n] = await one(JSON.stringify(requests[n]));
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, lane));
  agent.destroy();
  return { seconds: (performance.now() - began) / 1000, replies };
}
