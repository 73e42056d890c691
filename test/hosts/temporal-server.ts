/** A real Temporal server on PostgreSQL: all its services in one process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answers } from '../../host/server.ts';
import { killed } from '../support/process.ts';
import type { Postgres } from './postgres.ts';
import { found, freePorts } from './services.ts';

export class TemporalServer {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'backspin-temporal-'));
  readonly address: string;
  readonly #prefix: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(address: string, prefix: readonly string[]) {
    [this.address, this.#prefix] = [address, prefix];
  }

  /** Its databases must be there. `prefix`: words before the command, which put it on another host; `host`: its address there. */
  static async start(postgres: Postgres, host = '127.0.0.1', prefix: readonly string[] = []): Promise<TemporalServer> {
    const port = await freePorts(9);
    const server = new TemporalServer(`${host}:${port}`, prefix);
    writeFileSync(join(server.folder, 'config.yaml'), JSON.stringify(config(postgres, host, port, server.folder)));
    writeFileSync(join(server.folder, 'dynamic.yaml'), DYNAMIC);
    await server.resume();
    return server;
  }

  async resume(): Promise<void> {
    const log = openSync(join(this.folder, 'log'), 'a');
    const program = join(found.temporal!, 'temporal-server');
    const [first, ...rest] = [...this.#prefix, program, '--config-file', join(this.folder, 'config.yaml'), '--allow-no-auth', 'start'];
    this.#process = spawn(first, rest, { stdio: ['ignore', log, log] });
    if (this.#prefix.length === 0) await answers({ address: this.address }, AbortSignal.timeout(60_000));
  }
  async kill(): Promise<void> {
    await killed(this.#process!);
  }
}

const DYNAMIC = ['useNewMatcher', 'enableFairness']
  .map((name) => `matching.${name}: [{ value: true }]\n`)
  .concat(['Read', 'Write'].map((kind) => `matching.numTaskqueue${kind}Partitions: [{ value: 1 }]\n`))
  .join('');

function config({ env }: Postgres, host: string, port: number, folder: string): object {
  const sql = (databaseName: string) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: `${env['SQL_HOST']}:${env['SQL_PORT']}`,
      connectProtocol: 'tcp',
      user: env['SQL_USER'],
      password: env['SQL_PASSWORD'],
      maxConns: 20,
      maxIdleConns: 20,
    },
  });
  const services = ['frontend', 'history', 'matching', 'worker'].map((name, i) => {
    const http = name === 'frontend' ? { httpPort: port + 8 } : {};
    return [name, { rpc: { grpcPort: port + 2 * i, membershipPort: port + 2 * i + 1, bindOnIP: host, ...http } }];
  });
  return {
    log: { stdout: true, level: 'warn' },
    persistence: {
      defaultStore: 'default',
      visibilityStore: 'visibility',
      numHistoryShards: 4,
      datastores: { default: sql('temporal'), visibility: sql('temporal_visibility') },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: host } },
    services: Object.fromEntries(services),
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: { enabled: true, initialFailoverVersion: 1, rpcName: 'frontend', rpcAddress: `${host}:${port}` },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: join(folder, 'dynamic.yaml'), pollInterval: '10s' },
  };
}
