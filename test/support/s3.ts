/** A real S3 server for a test file, on a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openS3Store } from '../../store/s3-store.ts';
import { s3Address } from '../../store/s3-address.ts';
import type { Store } from '../../store/store.ts';
import { killed } from './process.ts';

const BUCKET = 'tests';

/** The server's program, which `node setup.js --s3` found or built; undefined: tests that need it are skipped. */
export const s3Program: string | undefined = (() => {
  try {
    const file = resolve(import.meta.dirname, '../../node_modules/.backspin-s3.json');
    return (JSON.parse(readFileSync(file, 'utf8')) as { s3: string }).s3;
  } catch {
    return undefined;
  }
})();

export class S3Server {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'backspin-s3-'));
  readonly port: number;
  #process: ChildProcess | undefined;
  #stores = 0;

  readonly #address: string;
  readonly #prefix: readonly string[];

  private constructor(port: number, address: string, prefix: readonly string[]) {
    [this.port, this.#address, this.#prefix] = [port, address, prefix];
  }

  /** Starts the server, and has this process and its children use it. `prefix`: words before its command, which put it on another host;
   *  `address`: of that host. */
  static async start(address = '127.0.0.1', prefix: readonly string[] = []): Promise<S3Server> {
    const server = new S3Server(await freePort(), address, prefix);
    mkdirSync(join(server.folder, 'data', BUCKET), { recursive: true });
    mkdirSync(join(server.folder, 'iam'));
    Object.assign(process.env, server.env);
    await server.resume();
    return server;
  }

  /** What a process needs to reach it. */
  get env(): Record<string, string> {
    return {
      AWS_ENDPOINT_URL: `http://${this.#address}:${this.port}`,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'testtest1',
      AWS_REGION: 'us-east-1',
    };
  }

  async resume(): Promise<void> {
    const { folder, port } = this;
    const secrets = ['--access', 'test', '--secret', 'testtest1', '--region', 'us-east-1'];
    const place = ['--port', `${this.#address}:${port}`, '--iam-dir', join(folder, 'iam'), '--quiet', 'posix', join(folder, 'data')];
    const [program, ...args] = [...this.#prefix, s3Program!, ...secrets, ...place];
    this.#process = spawn(program!, args, { stdio: 'ignore' });
    while (this.#prefix.length === 0) {
      if (this.#process.exitCode !== null) throw new Error(`versitygw ended with exit code ${this.#process.exitCode}`);
      try {
        await fetch(`http://127.0.0.1:${port}/`);
        return;
      } catch {
        await new Promise((next) => setTimeout(next, 20));
      }
    }
  }
  /** Ends it at once; what it has answered stays. */
  async kill(): Promise<void> {
    await killed(this.#process!);
  }

  /** The address of a store that nobody else uses. */
  address = (): string => `s3://${BUCKET}/store-${this.#stores++}`;
  /** Opens a store as a host of its own does: with no copies. */
  open = (address: string = this.address(), limit?: number): Promise<Store> =>
    openS3Store(s3Address(address), mkdtempSync(join(tmpdir(), 'backspin-copies-')), limit);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => void server.close(done));
  return port;
}
