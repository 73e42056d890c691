/** What `backspin up` and `backspin worker` keep alive on a host: workers, for `up` a Temporal server too, until a signal. */
import { mkdirSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { devicesIn, memoryIn, poolMemoryFile, poolsFile } from '../steps/machine.ts';
import { openServices } from '../steps/services.ts';
import { SOURCE } from '../devices/installation.ts';
import { makeLifeline, type Lifeline } from '../devices/lifeline.ts';
import { self } from '../devices/processes.ts';
import type { Pool } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { writeAtomic } from '../store/files.ts';
import { pinBuild, type Build } from '../host/build.ts';
import { joinDeployment } from '../host/deployment.ts';
import { dataConverter, requirePayloadKey } from '../host/payload-codec.ts';
import { namedServer } from '../host/profile.ts';
import { checkHost, claimHome, releaseHome } from '../host/host.ts';
import { homeFolder, inHome, lifelinePath, type Up } from '../host/home.ts';
import { openHome } from '../host/home-store.ts';
import { holdHome, sweepLeftovers } from '../host/leftovers.ts';
import { devicesOf, memoryOf, placed, type Pools } from '../host/pools.ts';
import { addressOf, adjacent, choosePorts, type Listen, type Ports } from '../host/ports.ts';
import { answers, checkDatabase, checkTemporal, prepare, requireServer, serverCommand, working } from '../host/server.ts';
import { restoreRecords } from '../experiments/restore.ts';
import { readSetup } from '../host/setup.ts';
import { runSlurmPools } from '../host/slurm/index.ts';
import type { SlurmSettings } from '../host/slurm/settings.ts';
import { Supervised, type Part } from '../host/supervisor.ts';
import { upgradeExperiments } from '../experiments/upgrade.ts';

export interface SessionOptions {
  /** Workers to run. */
  readonly orchestrator: boolean;
  readonly data: boolean;
  readonly pools: Pools;
  /** Pools whose workers are Slurm jobs. Only with an orchestrator, and a server and a store that hosts share. */
  readonly slurm?: Readonly<Record<string, SlurmSettings>>;
  readonly port?: number;
  readonly uiPort?: number;
  /** Gigabytes. */
  readonly lowWater?: number;
  /** Where the first worker serves its metrics. The others take the next ports. */
  readonly metrics?: Listen;
  /** Milliseconds in which workers stop after a signal: a training writes its checkpoint. Default: 20,000, and trainings are stopped then. */
  readonly drain?: number;
  /** Resolves when the session may end by itself. */
  readonly over?: (signal: AbortSignal) => Promise<void>;
}

/** Starts everything, and runs until a signal or until it is over. */
export async function runSession(options: SessionOptions): Promise<void> {
  const stopRequested = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => stopRequested.abort());
  mkdirSync(inHome('logs'), { recursive: true });
  checkHost();
  await holdHome();
  await claimHome();
  await sweepLeftovers();
  const pools = await placed(options.pools);
  const devices = await devicesOf(pools);
  // Pools that are not up now keep their entries, so that `plan` finds the steps that ran on them.
  await writeAtomic(poolsFile(homeFolder()), JSON.stringify({ ...devicesIn(homeFolder()), ...devices }));
  await writeAtomic(poolMemoryFile(homeFolder()), JSON.stringify({ ...memoryIn(homeFolder()), ...(await memoryOf(pools)) }));
  const session = await new Session({ ...options, pools }, devices, await pinBuild(homeFolder())).prepare();
  const { signal } = stopRequested;
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  try {
    await Promise.race([session.start(), stopped]);
    await Promise.race([stopped, ...(options.over ? [options.over(signal)] : [])]);
  } finally {
    stopRequested.abort();
    await session.stop();
  }
}

/** Starts and stops what runs on this host. */
class Session {
  readonly #options: SessionOptions;
  /** What each pool computes on. */
  readonly #devices: Readonly<Record<string, string>>;
  readonly #build: Build;
  readonly #parts: Supervised[] = [];
  readonly #stopping = new AbortController();
  #slurm: Promise<void> | undefined;
  #lifeline: Lifeline | undefined;
  #ports: Ports | undefined;
  /** Where each worker serves its metrics. */
  #metrics: readonly Listen[] | undefined;

  constructor(options: SessionOptions, devices: Readonly<Record<string, string>>, build: Build) {
    this.#options = options;
    this.#devices = devices;
    this.#build = build;
  }

  async prepare(): Promise<this> {
    if (!namedServer()) this.#ports = await choosePorts({ server: this.#options.port, ui: this.#options.uiPort });
    else if (this.#options.port ?? this.#options.uiPort)
      throw new BackspinError(
        'ConfigError',
        'A Temporal server is named by the environment or a profile, so none is started: leave --port and --ui-port out, or unset TEMPORAL_ADDRESS.',
      );
    await this.#placeMetrics();
    this.#lifeline = makeLifeline(lifelinePath());
    return this;
  }

  async start(): Promise<void> {
    const address = this.#address;
    const { orchestrator } = this.#options;
    await this.#writeStatus(false);
    if (this.#ports) await this.#startServer(this.#ports);
    const options = namedServer()?.options ?? { address };
    await requireServer(options, this.#namespace);
    if (orchestrator) await prepare(options, this.#namespace, this.#ports !== undefined);
    await this.#join(options);
    const workers = this.#wanted.map((worker, n) => this.#worker(worker, this.#metrics?.[n]));
    await Promise.all(workers.map((worker) => worker.ready));
    await this.#writeStatus(true);
    if (orchestrator) await restoreRecords(await openHome()).catch(() => {}); // commands that need a damaged record report it
    if (Object.keys(this.#options.slurm ?? {}).length > 0) this.#slurm = this.#runSlurm(options, this.#options.slurm!);
    const ui = this.#uiAddress;
    console.log(
      `backspin is up in ${homeFolder()}: Temporal at ${address}${ui === null ? '' : `, its UI at ${ui}`}. \`backspin down\` stops it.`,
    );
    if (process.connected) process.send!('ready', () => process.disconnect());
  }

  /** Stops workers first, so that they release their devices and tasks; then the server; then all leftovers. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#slurm;
    const server = this.#parts.find(({ part }) => part.name === SERVER);
    await Promise.all(this.#parts.filter((one) => one !== server).map((one) => one.stop()));
    await server?.stop();
    this.#lifeline?.close();
    await sweepLeftovers();
    for (const file of ['up.json', TARGETS]) rmSync(inHome(file), { force: true });
    releaseHome();
  }

  /** Joins the hosts of the store. An orchestrator restarts experiments of another build before a worker of this build gets a task. */
  async #join(options: ConnectionOptions): Promise<void> {
    const connection = await Connection.connect(options);
    try {
      const client = new Client({ connection, namespace: this.#namespace, dataConverter: dataConverter() });
      const services = await openServices(homeFolder(), { launchedOnly: true });
      const { orchestrator } = this.#options;
      await requirePayloadKey(services.store, orchestrator);
      if (services.store.shared) await joinDeployment(services.store, client, this.#build.digest, { orchestrator, devices: this.#devices });
      if (!orchestrator) return;
      const taken = await upgradeExperiments(client, services, this.#build.digest);
      for (const name of taken) console.log(`${name} goes on under the files of backspin as they are now; what it has finished stays.`);
    } finally {
      await connection.close();
    }
  }

  async #runSlurm(options: ConnectionOptions, pools: Readonly<Record<string, SlurmSettings>>): Promise<void> {
    const connection = await Connection.connect(options);
    try {
      const client = new Client({ connection, namespace: this.#namespace, dataConverter: dataConverter() });
      await runSlurmPools(pools, { store: await openHome(), client, signal: this.#stopping.signal });
    } finally {
      await connection.close();
    }
  }

  async #startServer(ports: Ports): Promise<void> {
    const { temporal } = readSetup();
    await checkDatabase(await checkTemporal(temporal));
    const server = this.#add({
      name: SERVER,
      command: serverCommand(temporal, ports),
      answers: (signal) => answers({ address: this.#address }, signal),
      health: { check: () => working({ address: this.#address }, this.#namespace), every: 10_000, patience: 120_000 },
      log: 'temporal',
      grace: 10_000,
    });
    try {
      await server.ready;
    } catch (error) {
      if (!(error instanceof BackspinError) || !/database|sql/i.test(error.message)) throw error;
      const file = inHome('temporal.db');
      throw new BackspinError(
        error.type,
        `${error.message}\nIf ${file} is damaged or of another version, move it away (and -wal and -shm beside it): results are in the store.`,
        { cause: error },
      );
    }
  }

  /** Prometheus finds the metrics of all workers by a file of the home. */
  async #placeMetrics(): Promise<void> {
    const { metrics } = this.#options;
    if (!metrics) return;
    const places = await adjacent(metrics, this.#wanted.length);
    this.#metrics = places;
    const targets = this.#wanted.map(({ kind, name }, n) => ({
      targets: [addressOf({ ...places[n]!, host: metrics.host === '0.0.0.0' ? hostname() : metrics.host })],
      labels: { worker: kind, ...(name !== undefined && { pool: name }) },
    }));
    await writeAtomic(inHome(TARGETS), `${JSON.stringify(targets, null, 2)}\n`);
  }

  get #wanted(): readonly WorkerOfHost[] {
    const { orchestrator, data, pools } = this.#options;
    return [
      ...(orchestrator ? [{ kind: 'orchestrator' }] : []),
      ...(data ? [{ kind: 'data' }] : []),
      ...Object.entries(pools).map(([name, pool]) => ({ kind: 'gpu', name, pool })),
    ];
  }

  #worker({ kind, name, pool }: WorkerOfHost, metrics: Listen | undefined): Supervised {
    return this.#add({
      name: name === undefined ? `${kind} worker` : `${kind} worker of pool ${name}`,
      // A small nursery keeps a worker small; answers of model servers that are in flight would outlive it.
      command: [process.execPath, ...(pool ? [] : ['--max-semi-space-size=4']), join(this.#build.folder, 'workers', kind + SOURCE)],
      env: {
        // Node strips types and compiles once for each build, not again in each worker and thread.
        NODE_COMPILE_CACHE: join(this.#build.folder, 'cache'),
        BACKSPIN_METRICS: metrics ? addressOf(metrics) : '',
        ...(name !== undefined && { BACKSPIN_POOL: name, BACKSPIN_POOL_SETTINGS: JSON.stringify(pool) }),
      },
      // API keys of external servers and of the Temporal server
      inherits: 'all',
      log: name === undefined ? kind : `${kind}-${name}`,
      grace: this.#options.drain ?? 20_000,
    });
  }

  #add({
    env,
    log,
    ...part
  }: Pick<Part, 'name' | 'command' | 'inherits' | 'grace' | 'log' | 'answers' | 'health'> & { env?: Record<string, string> }): Supervised {
    const lifeline = lifelinePath();
    const { lowWater, drain } = this.#options;
    const common = {
      BACKSPIN_HOME: homeFolder(),
      BACKSPIN_BUILD: this.#build.digest,
      BACKSPIN_LIFELINE: lifeline,
      TEMPORAL_ADDRESS: this.#address,
      TEMPORAL_NAMESPACE: this.#namespace,
      BACKSPIN_OWN_SERVER: this.#ports ? 'yes' : '',
      BACKSPIN_LOW_WATER: lowWater === undefined ? '' : `${lowWater * 1e9}`,
      BACKSPIN_DRAIN: drain === undefined ? '' : `${drain}`,
    };
    const supervised = new Supervised({
      ...part,
      env: { ...common, ...env },
      log: inHome('logs', `${log}.log`),
      folder: inHome('parts', log),
      lifeline,
    });
    this.#parts.push(supervised);
    return supervised;
  }

  get #address(): string {
    return this.#ports ? `127.0.0.1:${this.#ports.server}` : namedServer()!.address;
  }
  get #namespace(): string {
    return namedServer()?.namespace ?? 'default';
  }
  get #uiAddress(): string | null {
    return this.#ports ? `http://127.0.0.1:${this.#ports.ui}` : null;
  }

  #writeStatus(ready: boolean): Promise<void> {
    const pools = Object.fromEntries(Object.entries(this.#options.pools).map(([name, { groups }]) => [name, groups.length]));
    const up: Up = {
      ...self,
      ready,
      build: this.#build.digest,
      address: this.#address,
      namespace: this.#namespace,
      uiAddress: this.#uiAddress,
      pools,
      devices: Object.values(this.#options.pools).flatMap(({ groups }) => groups.flat()),
    };
    return writeAtomic(inHome('up.json'), `${JSON.stringify(up, null, 2)}\n`);
  }
}

interface WorkerOfHost {
  readonly kind: string;
  /** Of the pool. */
  readonly name?: string;
  readonly pool?: Pool;
}

const SERVER = 'Temporal server';
/** In the format of Prometheus' `file_sd_configs`. */
const TARGETS = 'metrics.json';
