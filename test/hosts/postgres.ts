/** A real PostgreSQL in a folder, as the user `postgres`: it refuses root. Needs root. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, chmodSync, mkdtempSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { textOf } from '../../host/proc.ts';
import { until } from '../cli/cli.ts';
import { killed } from '../support/process.ts';
import { found, freePorts } from './services.ts';

export class Postgres {
  readonly folder: string;
  readonly #port: number;
  readonly #address: string;
  readonly #prefix: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, address: string, prefix: readonly string[]) {
    chmodSync(tmpdir(), 0o711); // `postgres` must pass through
    this.folder = mkdtempSync(join(tmpdir(), 'backspin-postgres-'));
    execFileSync('chown', ['postgres', this.folder]);
    [this.#port, this.#address, this.#prefix] = [port, address, prefix];
  }

  /** `prefix`: words before its command, which put it on another host; `address`: of that host. */
  static async start(address = '127.0.0.1', prefix: readonly string[] = []): Promise<Postgres> {
    const postgres = new Postgres(await freePorts(1), address, prefix);
    const options = ['-U', 'temporal', '--auth=trust', '--no-instructions', '-E', 'UTF8', '--locale=C.UTF-8'];
    const [program, ...args] = postgres.#command('initdb', ...options);
    execFileSync(program!, args, { stdio: 'ignore', cwd: postgres.folder });
    appendFileSync(join(postgres.#data, 'pg_hba.conf'), 'host all all samenet trust\n');
    await postgres.resume();
    return postgres;
  }

  get env(): Record<string, string> {
    return { SQL_HOST: this.#address, SQL_PORT: `${this.#port}`, SQL_USER: 'temporal', SQL_PASSWORD: 'temporal' };
  }
  async resume(): Promise<void> {
    const log = join(this.folder, 'log');
    const before = textOf(log).length;
    const out = openSync(log, 'a');
    const options = ['-h', this.#address, '-p', `${this.#port}`, '-k', this.folder, '-c', 'max_connections=200'];
    const [program, ...args] = [...this.#prefix, ...this.#command('postgres', ...options)];
    this.#process = spawn(program!, args, { stdio: ['ignore', out, out], cwd: this.folder });
    await until(() => textOf(log).slice(before).includes('ready to accept connections'), 'PostgreSQL is up');
  }
  /** Kills the postmaster; its children end themselves. */
  async kill(): Promise<void> {
    await killed(this.#process!);
  }

  get #data(): string {
    return join(this.folder, 'data');
  }
  #command(program: string, ...args: readonly string[]): readonly string[] {
    const as = ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', 'env', `HOME=${this.folder}`];
    return [...as, join(found.postgres!, program), '-D', this.#data, ...args];
  }
}
