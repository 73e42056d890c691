/**
 * Runs a model server behind a bad network: starts the real server and forwards its requests. While a file names a trouble, it makes that
 * trouble instead. An installation runs it as its Python: `node faulty-server.ts PYTHON -m backspin_trainer serve --spec FILE`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { ServeSpec } from '../../schemas/devices.ts';
import { controlIn, spoiltIn, type Control, type Trouble } from './trouble.ts';

const LOOK_EVERY = 20;
/** Pieces of a slow body, and milliseconds between them. */
const SLOWLY = { pieces: 8, every: 100 };

const [python, ...args] = process.argv.slice(2);
const specFile = args.at(-1)!;
const home = join(dirname(specFile), '../..');
const spec = JSON.parse(readFileSync(specFile, 'utf8')) as ServeSpec;
const { refuses } = control();
if (refuses !== undefined) {
  console.error(refuses);
  process.exit(64);
}
const own = { spec: `${specFile}.behind`, ready: `${spec.ready}.behind` };
rmSync(own.ready, { force: true }); // of an earlier server
writeFileSync(own.spec, JSON.stringify({ ...spec, ready: own.ready }));
const child = spawn(python!, [...args.slice(0, -1), own.spec], { stdio: 'inherit' });
child.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGTERM' ? 143 : 137)));
process.on('SIGTERM', () => {}); // the server gets the signal too

async function announced(): Promise<{ port: number }> {
  for (;;) {
    try {
      return JSON.parse(readFileSync(own.ready, 'utf8')) as { port: number };
    } catch {
      await delay(LOOK_EVERY);
    }
  }
}
function control(): Control {
  try {
    return JSON.parse(readFileSync(controlIn(home), 'utf8')) as Control;
  } catch {
    return { trouble: null, poisoned: [] };
  }
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await buffer(request);
  const id = String(request.headers['x-request-id'] ?? '');
  const { trouble, poisoned, status = 400 } = control();
  if (poisoned.some((record) => id.includes(`/${record}/`)) && request.url !== '/tokenize')
    return said(response, status, 'this text is poison');
  if (trouble === null || (request.url === '/health' && trouble !== 'black hole')) return pass(response, await forwarded(request, body));
  appendFileSync(spoiltIn(home), `${JSON.stringify({ id, trouble })}\n`);
  await give[trouble](request, response, () => forwarded(request, body));
}

type Reply = { readonly status: number; readonly type: string; readonly body: Buffer };
function forwarded({ method, url, headers }: IncomingMessage, body: Buffer): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const onward = send({ host: '127.0.0.1', port: ready.port, method, path: url, headers }, (reply) => {
      const { statusCode: status = 500, headers } = reply;
      buffer(reply).then((body) => resolve({ status, type: headers['content-type'] ?? 'text/plain', body }), reject);
    });
    onward.once('error', reject);
    onward.end(body);
  });
}
function pass(response: ServerResponse, { status, type, body }: Reply): void {
  response.writeHead(status, { 'content-type': type, 'content-length': body.length }).end(body);
}
function said(response: ServerResponse, status: number, message: string, headers: Record<string, string> = {}): void {
  const error = { message, type: 'Trouble', param: null, code: status };
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error }));
}

/** If the server has done the work, its reply is lost. */
const give: Readonly<
  Record<Trouble, (request: IncomingMessage, response: ServerResponse, reply: () => Promise<Reply>) => void | Promise<void>>
> = {
  'connection refused': (request) => void request.socket.destroy(),
  async 'connection reset'(request, _, reply) {
    await reply();
    request.socket.resetAndDestroy();
  },
  'black hole': () => {},
  async 'slow body'(_, response, reply) {
    const { status, type, body } = await reply();
    response.writeHead(status, { 'content-type': type, 'content-length': body.length });
    const size = Math.ceil(body.length / SLOWLY.pieces);
    for (let at = 0; at < body.length; at += size) {
      response.write(body.subarray(at, at + size));
      await delay(SLOWLY.every);
    }
    response.end();
  },
  '429': (_, response) => said(response, 429, 'too many requests'),
  '429 with Retry-After': (_, response) => said(response, 429, 'too many requests', { 'retry-after': '1' }),
  '500': (_, response) => said(response, 500, 'something went wrong'),
  async 'malformed JSON'(_, response, reply) {
    const { type, body } = await reply();
    pass(response, { status: 200, type, body: body.subarray(0, body.length / 2) });
  },
  async 'truncated body'(_, response, reply) {
    const { type, body } = await reply();
    response.writeHead(200, { 'content-type': type, 'content-length': body.length });
    response.write(body.subarray(0, body.length / 2), () => response.destroy());
  },
};

const ready = await announced();
const proxy = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
proxy.listen(0, '127.0.0.1');
await once(proxy, 'listening');
const { port } = proxy.address() as AddressInfo;
writeFileSync(`${spec.ready}.partial`, JSON.stringify({ ...ready, port }));
renameSync(`${spec.ready}.partial`, spec.ready);
for (;;) {
  await delay(LOOK_EVERY);
  const refuses = control().trouble === 'connection refused';
  if (refuses && proxy.listening) {
    proxy.close();
    proxy.closeAllConnections();
  } else if (!refuses && !proxy.listening) proxy.listen(port, '127.0.0.1');
}
