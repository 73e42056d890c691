/** Runs an OpenAI-compatible server without a model: replies at once, records every request, and misbehaves on demand. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';
import type { Endpoint } from '../../inference/transport.ts';

export interface Seen {
  readonly path: string;
  readonly id: string | undefined;
  readonly authorization: string | undefined;
  readonly body: Body;
}
/** Handles a request instead of the server, which then sends nothing. */
export type Trouble = (request: IncomingMessage, response: ServerResponse) => void;

export const troubles = {
  status:
    (status: number, headers: Record<string, string> = {}, message = `status ${status}`): Trouble =>
    (_, response) =>
      response.writeHead(status, headers).end(JSON.stringify({ error: { message, type: 'x', param: null, code: status } })),
  page:
    (status: number): Trouble =>
    (_, response) =>
      response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>'),
  reset: ((request) => request.socket.destroy()) as Trouble,
  malformed: ((_, response) => response.end('{"choices": [')) as Trouble,
  truncated: ((_, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('{"choices": [');
    response.socket!.destroySoon();
  }) as Trouble,
  silent: (() => {}) as Trouble,
  dripping: ((_, response) => {
    const timer = setInterval(() => response.write(' '), 5);
    response.on('close', () => clearInterval(timer));
  }) as Trouble,
};

export interface FakeOpenAI {
  readonly endpoint: Endpoint;
  readonly seen: Seen[];
  /** Troubles for the next requests other than GET, one each. */
  readonly trouble: Trouble[];
  /** Runs before every reply to a request other than GET. */
  gate: (request: IncomingMessage, response: ServerResponse, reply: () => void, body: Body) => void;
  /** Changes a reply before it is sent. */
  change: (path: string, reply: Body, body: Body) => unknown;
  /** Tokens in replies with log-probabilities. */
  likeliest: readonly number[];
  /** Refuses connections until it is up again at the same address. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Each byte is a token; every text begins with token 999 if `beginning`. Log-probability of token t: -t / 1000. */
export async function fakeOpenAI(t: ExecutionContext, { context = 4096, beginning = false } = {}): Promise<FakeOpenAI> {
  const replies = repliesOf(context, beginning, () => self.likeliest);
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const path = request.url!;
      const body = request.method === 'GET' ? {} : (JSON.parse(Buffer.concat(parts).toString()) as Body);
      const { 'x-request-id': id, authorization } = request.headers;
      self.seen.push({ path, id: id as string | undefined, authorization, body });
      const instead = request.method === 'GET' ? undefined : self.trouble.shift();
      if (instead) return instead(request, response);
      const reply = () => void response.end(JSON.stringify(self.change(path, replies[path]!(body), body)));
      if (request.method === 'GET') reply();
      else self.gate(request, response, reply, body);
    });
  });
  const up = (port: number) => once(server.listen(port, '127.0.0.1'), 'listening');
  const down = () =>
    new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    });
  await up(0);
  t.teardown(() => void down());
  const { port } = server.address() as AddressInfo;
  const self: FakeOpenAI = {
    endpoint: { url: `http://127.0.0.1:${port}`, key: 'secret' },
    seen: [],
    trouble: [],
    gate: (_request, _response, reply) => reply(),
    change: (_, reply) => reply,
    likeliest: [...Buffer.from('0123456789')],
    down: () => down().then(() => {}),
    up: () => up(port).then(() => {}),
  };
  return self;
}

type Body = Record<string, unknown>;

/** Replies by path. */
function repliesOf(context: number, beginning: boolean, likeliest: () => readonly number[]): Record<string, (body: Body) => Body> {
  const tokens = (text: string, special = true) => [...(beginning && special ? [999] : []), ...Buffer.from(text)];
  const usage = (body: Body) => ({
    prompt_tokens: tokens(JSON.stringify(body['messages'] ?? body['prompt'])).length,
    completion_tokens: 2,
  });
  const text = (body: Body) => ([body['stop'] ?? []].flat().includes('o') ? '' : 'ok');
  return {
    '/v1/models': () => ({ data: [{ id: 'm', max_model_len: context }] }),
    '/tokenize': ({ prompt, messages, add_special_tokens: special }) => {
      const text = (prompt as string | undefined) ?? (messages as { content: string }[]).map(({ content }) => content).join('');
      const ids = tokens(text, special as boolean | undefined);
      return { tokens: ids, count: ids.length, max_model_len: context };
    },
    '/v1/chat/completions': (body) => ({
      choices: [{ index: 0, message: { role: 'assistant', content: text(body) }, finish_reason: 'stop' }],
      usage: usage(body),
    }),
    '/v1/completions': (body) => ({
      choices: [
        {
          index: 0,
          text: text(body),
          finish_reason: 'length',
          logprobs:
            body['logprobs'] === undefined
              ? null
              : { top_logprobs: [Object.fromEntries(likeliest().map((id) => [`token_id:${id}`, -id / 1000]))] },
          prompt_logprobs:
            body['prompt_logprobs'] === undefined
              ? null
              : (body['prompt'] as number[]).map((id, i) => (i === 0 ? null : { [id]: { logprob: -id / 1000, rank: 1 } })),
        },
      ],
      usage: usage(body),
    }),
  };
}
