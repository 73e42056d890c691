/** Hosts as namespaces of this machine: each has its own network, host name and processes, on a switch of its own. Needs root. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../cli/cli.ts';

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

export class Network {
  /** Prefix of the namespaces' names: eight characters at most, with the process so that two tests do not meet. */
  readonly #name = `b${process.pid % 1_000_000}`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'backspin-network-'));
  readonly #inits = new Map<number, number>();

  static async up(count: number): Promise<Network> {
    const network = new Network();
    const { switch: bridge } = network;
    ip('netns', 'add', bridge);
    ip('-n', bridge, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', bridge, 'link', 'set', 'br0', 'up');
    for (let host = 1; host <= count; host++) await network.#add(host);
    return network;
  }

  address = (host: number): string => `10.77.0.${host}`;
  /** Words before a command that runs in the network of a host, as a process of this machine. */
  near = (host: number): readonly string[] => ['nsenter', `--net=/run/netns/${this.#of(host)}`];
  /** Words before a command that runs on a host: it ends with the host. */
  on = (host: number): readonly string[] => ['nsenter', '-t', `${this.#inits.get(host)!}`, '-n', '-u', '-i', '-m', '-p'];

  /** Pulls the cable: no packet arrives, and nobody is told. */
  cut = (host: number): void => void ip('-n', this.switch, 'link', 'set', this.#of(host), 'down');
  heal = (host: number): void => void ip('-n', this.switch, 'link', 'set', this.#of(host), 'up');
  /** Cuts its power: the cable goes first, since a kernel that ends processes would close their connections. */
  off(host: number): void {
    this.cut(host);
    process.kill(this.#inits.get(host)!, 'SIGKILL');
  }
  async boot(host: number): Promise<void> {
    await this.#start(host);
    this.heal(host);
  }
  down(): void {
    for (const init of this.#inits.values())
      try {
        process.kill(init, 'SIGKILL');
      } catch {
        // it is off
      }
    for (const [name] of ip('netns', 'list').matchAll(/^\S+/gm)) if (name.startsWith(`${this.#name}-`)) ip('netns', 'del', name);
  }

  get switch(): string {
    return `${this.#name}-sw`;
  }
  #of = (host: number): string => `${this.#name}-h${host}`;

  async #add(host: number): Promise<void> {
    const name = this.#of(host);
    ip('netns', 'add', name);
    ip('link', 'add', name, 'netns', this.switch, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    ip('-n', this.switch, 'link', 'set', name, 'master', 'br0', 'up');
    ip('-n', name, 'addr', 'add', `${this.address(host)}/24`, 'dev', 'eth0');
    for (const device of ['eth0', 'lo']) ip('-n', name, 'link', 'set', device, 'up');
    await this.#start(host);
  }

  /** Its first process is a shell that takes orphans in; all others end with it. */
  async #start(host: number): Promise<void> {
    mkdirSync(this.#folder, { recursive: true });
    const note = join(this.#folder, `${this.#of(host)}-${performance.now()}`);
    const init = `hostname h${host}; touch ${note}; while :; do sleep 3600 & wait $!; done`;
    const [nsenter, ...args] = this.near(host);
    const words = ['unshare', '-u', '-i', '-m', '-p', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', init];
    const child = spawn(nsenter!, [...args, ...words], { stdio: 'ignore' });
    await until(() => existsSync(note), `host ${host} is up`);
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    this.#inits.set(host, Number(children.trim()));
  }
}
