/** What `node setup.js --hosts` found on this machine. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
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

/** Temporal keeps the ports of its members in PostgreSQL as `smallint`. */
const MOST = 32_767;
const LEAST = 10_000;

/** The first of `count` free ports in a row. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = LEAST + Math.floor(Math.random() * (MOST - LEAST - count));
    const all = Array.from({ length: count }, (_, i) => isFree(first + i));
    if ((await Promise.all(all)).every(Boolean)) return first;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(false)).listen(port, '127.0.0.1', () => void server.close(() => done(true)));
  });
}
