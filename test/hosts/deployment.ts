/** Hosts of one deployment, as processes of this machine, each with a home of its own; and the miniature that runs on them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startedWith } from '../../host/proc.ts';
import type { View } from '../../experiments/view.ts';
import { backspin, command, root, temporary, until, type Ran } from '../cli/cli.ts';

const FILE = join(root, 'test/support/miniature.yaml');

export class Deployment {
  readonly file = FILE;
  /** Working folder of all hosts. */
  readonly folder = temporary();
  /** Temporal server, store and credentials. */
  readonly env: NodeJS.ProcessEnv;
  /** Words before a command that a person types, which put it on a host. */
  login: readonly string[] = [];
  readonly #hosts: Host[] = [];
  readonly #home = temporary();

  constructor(env: NodeJS.ProcessEnv) {
    this.env = { ...env, TEMPORAL_CONFIG_FILE: join(this.folder, 'no-profile.toml') };
  }

  /** Starts `backspin worker ARGS`; `prefix` are words before it, which put it elsewhere. */
  host(args: readonly string[], home = temporary(), prefix: readonly string[] = []): Host {
    const host = new Host([...prefix, process.execPath, command, 'worker', ...args], this.folder, { ...this.env, BACKSPIN_HOME: home });
    this.#hosts.push(host);
    return host;
  }
  /** Runs a command on a host that runs no worker. */
  run = (...args: readonly string[]): Promise<Ran> => backspin(this.#home, args, this.env, command, undefined, this.login);
  async succeeds(...args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0) throw new Error(`backspin ${args.join(' ')}: ${stdout}${stderr}`);
  }
  /** The digest of each step's output, by path. */
  async digests(name: string): Promise<Record<string, unknown>> {
    return digestsOf(JSON.parse((await this.run('status', name, '--json')).stdout) as View);
  }
  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.destroy()));
  }
}

export class Host {
  readonly home: string;
  readonly process: ChildProcess;
  output = '';

  constructor([program, ...args]: readonly string[], cwd: string, env: NodeJS.ProcessEnv) {
    this.home = env['BACKSPIN_HOME']!;
    this.process = spawn(program!, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout!, this.process.stderr!]) stream.on('data', (text) => (this.output += text));
  }

  async ready(): Promise<this> {
    await until(() => this.output.includes('backspin is up') || this.process.exitCode !== null, 'the host is up');
    if (this.process.exitCode !== null) throw new Error(this.output);
    return this;
  }
  /** Kills all its processes at once. */
  async destroy(): Promise<void> {
    const ended = this.process.exitCode === null && this.process.signalCode === null ? once(this.process, 'exit') : undefined;
    for (const pid of [this.process.pid!, ...this.#processes()])
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has ended
      }
    await ended;
    await until(() => this.#processes().length === 0, 'its processes are gone');
  }
  #processes = (): number[] => startedWith(`BACKSPIN_HOME=${this.home}\0`);
}

/** Runs the miniature in a home of its own, and returns the digests of its steps. */
export async function digestsOfOneHost(sets: readonly string[]): Promise<Record<string, unknown>> {
  const home = temporary();
  const alone = { TEMPORAL_ADDRESS: '', BACKSPIN_STORE: '' };
  const ended = await backspin(home, ['launch', FILE, ...sets, '--watch'], alone);
  if (ended.code !== 0) throw new Error(ended.stdout + ended.stderr);
  const view = JSON.parse((await backspin(home, ['status', 'miniature', '--json'], alone)).stdout) as View;
  await backspin(home, ['down'], alone);
  return digestsOf(view);
}

const digestsOf = ({ steps }: View) => Object.fromEntries(steps.map(({ path, output }) => [path, output?.digest]));
