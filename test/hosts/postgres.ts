/** A real PostgreSQL in a folder, as the user `postgres`: it refuses root. Needs root. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../cli/cli.ts';
import { found, freePorts } from './services.ts';

export class Postgres {
  readonly folder: string;
  readonly port: number;
  readonly #prefix: readonly string[];
  readonly #address: string;

  private constructor(folder: string, port: number, address: string, prefix: readonly string[]) {
    [this.folder, this.port, this.#address, this.#prefix] = [folder, port, address, prefix];
  }

  /** `prefix`: words before each command, which put it on another host. */
  static async start(address = '127.0.0.1', prefix: readonly string[] = []): Promise<Postgres> {
    chmodSync(tmpdir(), 0o711); // `postgres` must pass through
    const folder = mkdtempSync(join(tmpdir(), 'backspin-postgres-'));
    execFileSync('chown', ['postgres', folder]);
    const postgres = new Postgres(folder, await freePorts(1), address, prefix);
    const options = ['-U', 'temporal', '--auth=trust', '--no-instructions', '-E', 'UTF8', '--locale=C.UTF-8'];
    postgres.#run('initdb', '-D', postgres.#data, ...options);
    postgres.resume();
    return postgres;
  }

  get env(): Record<string, string> {
    return { SQL_HOST: this.#address, SQL_PORT: `${this.port}`, SQL_USER: 'temporal', SQL_PASSWORD: 'temporal' };
  }
  resume(): void {
    const { folder, port } = this;
    const options = `-h ${this.#address} -p ${port} -k ${folder} -c max_connections=200`;
    this.#run('pg_ctl', '-D', this.#data, '-l', join(folder, 'log'), '-w', '-o', options, 'start');
  }
  /** Kills the postmaster; its children end themselves. */
  async kill(): Promise<void> {
    const pid = Number(readFileSync(join(this.#data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const children = execFileSync('pgrep', ['-P', `${pid}`], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map(Number);
    process.kill(pid, 'SIGKILL');
    await until(() => [pid, ...children].every((one) => !lives(one)), 'PostgreSQL is gone');
  }

  get #data(): string {
    return join(this.folder, 'data');
  }
  #run(program: string, ...args: readonly string[]): void {
    const as = ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', 'env', `HOME=${this.folder}`];
    const [first, ...rest] = [...this.#prefix, ...as, join(found.postgres!, program), ...args];
    execFileSync(first!, rest, { stdio: 'ignore', cwd: this.folder });
  }
}

/** Whether a process runs. A zombie does not. */
function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
