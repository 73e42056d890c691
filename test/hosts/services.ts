/** What `node setup.js --hosts` found on this machine. */
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { resolve } from 'node:path';

interface Found {
  /** Folder with Temporal's `server` and `sql`. */
  readonly temporal: string | null;
  /** Folder of PostgreSQL's programs. */
  readonly postgres: string | null;
  readonly slurm: boolean | null;
}

/** Nulls: tests that need it are skipped. */
export const found: Found = (() => {
  try {
    return JSON.parse(readFileSync(resolve(import.meta.dirname, '../../node_modules/.backspin-hosts.json'), 'utf8')) as Found;
  } catch {
    return { temporal: null, postgres: null, slurm: null };
  }
})();

/** The first of `count` free ports in a row, as far as they can be had. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort(0);
    const others = Array.from({ length: count - 1 }, (_, i) => freePort(first + 1 + i));
    if ((await Promise.allSettled(others)).every(({ status }) => status === 'fulfilled')) return first;
  }
}

async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, failed) => void server.once('error', failed).listen(wanted, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => void server.close(done));
  return port;
}
