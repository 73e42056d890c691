/** Serves the pages on this machine alone. */
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { getRequestListener } from '@hono/node-server';
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import { createApp } from './app.ts';

export interface Serving {
  /** With the token: whoever has it may read every page. */
  readonly address: string;
  close(): Promise<void>;
}

/** Listens on 127.0.0.1; `port` 0 takes a free one. */
export async function servePages(store: Store, port: number): Promise<Serving> {
  const token = randomBytes(24).toString('base64url');
  const app = createApp({ store, token, port: () => portOf(server) });
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const server = createServer((request, response) => void listener(request, response));
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new BackspinError('ConfigError', `The port ${port} cannot be used (${(error as Error).message}): give another with --port.`, {
      cause: error,
    });
  }
  return {
    address: `http://127.0.0.1:${portOf(server)}/?token=${token}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
