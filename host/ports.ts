/** Chooses ports for the dev server: the requested ones, else those of the last start, else free ones. */
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { z } from 'zod';
import { BackspinError } from '../schemas/errors.ts';
import { writeAtomic } from '../store/files.ts';
import { inHome } from './home.ts';

const port = z.int().min(1).max(65_535);
const known = z.object({ server: port, ui: port, http: port, metrics: port });
export type Ports = Readonly<z.infer<typeof known>>;

/** Where to listen. */
export interface Listen {
  readonly host: string;
  readonly port: number;
}
export const addressOf = ({ host, port }: Listen): string => `${host}:${port}`;

/** Returns `count` places from the first on, of adjacent ports. Throws if one is taken. */
export async function adjacent({ host, port: first }: Listen, count: number): Promise<readonly Listen[]> {
  const places = Array.from({ length: count }, (_, n) => ({ host, port: first + n }));
  for (const place of places)
    if (place.port > 65_535 || (await listen(place.port, host)) === undefined)
      throw new BackspinError(
        'ConfigError',
        `Metrics need ${count} adjacent ports, one for each worker, and ${addressOf(place)} cannot be used: choose others with --metrics.`,
      );
  return places;
}

/** Throws if a requested port is taken. */
export async function choosePorts(asked: { server?: number | undefined; ui?: number | undefined }): Promise<Ports> {
  const before = lastPorts();
  const chosen: number[] = [];
  const choose = async (name: keyof Ports, wanted?: number): Promise<number> => {
    if (wanted !== undefined && (chosen.includes(wanted) || (await listen(wanted)) === undefined)) {
      throw new BackspinError(
        'ConfigError',
        `Port ${wanted} on 127.0.0.1 is taken: choose another with ${name === 'ui' ? '--ui-port' : '--port'}, or leave it out for a free one.`,
      );
    }
    const last = before[name];
    const port = wanted ?? (last !== undefined && !chosen.includes(last) ? await listen(last) : undefined) ?? (await listen(0))!;
    chosen.push(port);
    return port;
  };
  const ports = {
    server: await choose('server', asked.server),
    ui: await choose('ui', asked.ui),
    http: await choose('http'),
    metrics: await choose('metrics'),
  };
  await writeAtomic(inHome('ports.json'), JSON.stringify(ports));
  return ports;
}

function lastPorts(): Partial<Ports> {
  try {
    return known.parse(JSON.parse(readFileSync(inHome('ports.json'), 'utf8')));
  } catch {
    return {};
  }
}

/** Returns the port if it is free; 0 chooses any. */
function listen(port: number, host = '127.0.0.1'): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, host, () => {
      const { port: given } = server.address() as AddressInfo;
      server.close(() => resolve(given));
    });
  });
}
