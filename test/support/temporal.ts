/** Starts a real Temporal server and the workers of one store for a test file. */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ExecutionContext } from 'ava';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode, type WorkerOptions } from '@temporalio/worker';
import { dataActivities } from '../../activities/data.ts';
import { gpuActivities } from '../../activities/gpu.ts';
import { grantAll } from '../../steps/grants.ts';
import { fairQueues } from '../../host/server.ts';
import { startOptions } from '../../experiments/start.ts';
import { makeLifeline } from '../../devices/lifeline.ts';
import { Slots } from '../../devices/slots.ts';
import { openServices, type Services } from '../../steps/services.ts';
import type { Models } from '../../steps/models.ts';
import { contextOf } from '../../recipe/inputs.ts';
import { moduleDigest } from '../../steps/registry.ts';
import { queues, searchAttributes, workflowId } from '../../schemas/names.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import type { ExperimentInput } from '../../schemas/messages.ts';
import { defineSearchAttributeKey } from '@temporalio/common';
import { poolActivities } from './pool.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

type Settings = Partial<Pick<BoundConfig, 'seed' | 'data' | 'models' | 'serving' | 'review' | 'notify'>>;
export interface Site {
  readonly env: TestWorkflowEnvironment;
  readonly services: Services;
  readonly bundle: { code: string };
  /** The address of the Temporal UI, if requested. */
  readonly ui: string | undefined;
  /** Starts an experiment of a toy recipe. */
  start(
    name: string,
    recipe: string,
    parameters: object,
    more?: Partial<ExperimentInput> & Settings,
  ): Promise<import('@temporalio/client').WorkflowHandleWithFirstExecutionRunId>;
  /** The configuration of such an experiment. */
  config(name: string, recipe: string, parameters: object, more?: Settings): BoundConfig;
  orchestrator(options?: Partial<WorkerOptions>): Promise<Worker>;
  data(options?: Partial<WorkerOptions>): Promise<Worker>;
  /** Workers of the pool `cpu` whose models the test plays: one for leases, and one that shows that the pool has a worker. */
  pool(models: Models): Promise<Worker[]>;
  /** Serves and trains for real on this many groups of the pool `cpu`, until `body` ends. */
  onDevices<T>(groups: number, timeSlice: number, body: () => Promise<T>): Promise<T>;
  /** Runs `body` with an orchestrator, the two workers of a data worker, and the given ones. */
  working<T>(body: () => Promise<T>, more?: readonly Worker[]): Promise<T>;
  close(): Promise<void>;
}

export const SERVING = { pool: 'cpu', engine: 'embedded', slots: 8, threads: 1, maxModelLength: null, replicas: 1 } as const;
const toyModule = resolve(import.meta.dirname, 'toy.ts');

/** Makes a folder that counts as a model, and returns it. */
export async function makeModel(home: string): Promise<string> {
  const folder = join(home, 'speaker');
  await mkdir(folder);
  for (const file of ['config.json', 'model.safetensors']) await writeFile(join(folder, file), '{}');
  return folder;
}

export async function site({ ui = false } = {}): Promise<Site> {
  const uiPort = ui ? await freePort() : undefined;
  const env = await startServer(uiPort);
  const services = await openServices(await mkdtemp(join(tmpdir(), 'backspin-')));
  const bundle = await bundleWorkflowCode({
    workflowsPath: resolve(import.meta.dirname, 'toy-workflows.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const parts = { env, services, bundle };
  const digest = await moduleDigest(toyModule);
  return {
    ...parts,
    ui: uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`,
    start: starter(parts, digest),
    config: (...of) => toyConfig(digest, ...of),
    ...workersOf(parts),
    onDevices: onDevicesOf(parts),
    close: () => env.teardown(),
  };
}

type Parts = Pick<Site, 'env' | 'services' | 'bundle'>;

async function startServer(uiPort: number | undefined): Promise<TestWorkflowEnvironment> {
  const setup = JSON.parse(await readFile(resolve(import.meta.dirname, '../../node_modules/.backspin-setup.json'), 'utf8')) as {
    temporal: string;
  };
  return TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: setup.temporal },
      ...(uiPort === undefined ? {} : { uiPort }),
      extraArgs: fairQueues,
      searchAttributes: Object.entries(searchAttributes).map(([name, type]) => defineSearchAttributeKey(name, type)),
    },
  });
}

function toyConfig(
  digest: string,
  name: string,
  recipe: string,
  parameters: object,
  { seed = 0, data, models = {}, serving = SERVING, review, notify }: Settings = {},
): BoundConfig {
  const count = (parameters as { count?: number }).count ?? 20;
  return {
    name,
    recipe,
    seed,
    modules: [{ path: toyModule, digest }],
    serving,
    roles: {},
    training: { pool: 'cpu', threads: 1 },
    evaluation: {},
    models,
    data: data ?? { numbers: { source: 'toy.numbers', params: { count }, folder: '/' } },
    ...(review !== undefined && { review }),
    ...(notify && { notify }),
    parameters,
  };
}

function starter({ env, services }: Parts, digest: string): Site['start'] {
  return async (name, recipe, parameters, more = {}) => {
    const config = toyConfig(digest, name, recipe, parameters, more);
    const { seed: _, data: __, models: ___, serving: ____, review: _____, notify: ______, ...input } = more;
    await grantAll(services.store, contextOf(config)); // for workers in processes of their own
    return env.client.workflow.start(
      'experiment',
      startOptions({ store: services.store.id, configDigest: '0'.repeat(64), parent: null, pins: {}, ...input, config }),
    );
  };
}

function workersOf({ env, services, bundle }: Parts): Pick<Site, 'orchestrator' | 'data' | 'pool' | 'working'> {
  const common = commonOf(env);
  const orchestrator: Site['orchestrator'] = (options) =>
    Worker.create({
      ...common,
      taskQueue: queues.orchestrator(services.store.id),
      workflowBundle: bundle,
      stickyQueueScheduleToStartTimeout: '1s',
      ...options,
    });
  const data: Site['data'] = (options) =>
    Worker.create({
      ...common,
      taskQueue: queues.data(services.store.id),
      activities: dataActivities(services),
      maxHeartbeatThrottleInterval: '1s',
      ...options,
    });
  return {
    orchestrator,
    data,
    pool(models) {
      const activities = poolActivities({ ...common, services }, () => models);
      const options = { ...common, maxHeartbeatThrottleInterval: '1s' } as const;
      return Promise.all([
        Worker.create({ ...options, taskQueue: queues.pool(services.store.id, 'cpu'), activities }),
        Worker.create({ ...options, taskQueue: queues.pollers(services.store.id, 'cpu'), activities: { here: async () => {} } }),
      ]);
    },
    async working(body, more = []) {
      const own = await Promise.all([orchestrator(), data(), data({ taskQueue: queues.external(services.store.id) })]);
      const workers = [...own, ...more];
      const running = workers.map((worker) => worker.run());
      try {
        return await body();
      } finally {
        for (const worker of workers) worker.shutdown();
        await Promise.all(running);
      }
    },
  };
}

function onDevicesOf({ env, services }: Parts): Site['onDevices'] {
  return async (groups, timeSlice, body) => {
    const connections = await Promise.all(Array.from({ length: groups }, () => NativeConnection.connect({ address: env.address })));
    const slots = new Slots({ home: services.home, pool: 'cpu', groups: Array<string[]>(groups).fill([]) });
    const lifeline = makeLifeline(join(services.home, 'lifeline'));
    const common = commonOf(env);
    const { namespace } = common;
    const worker = await Worker.create({
      ...common,
      taskQueue: queues.pool(services.store.id, 'cpu'),
      activities: gpuActivities({ services, slots, timeSlice, connections, namespace, lifeline: lifeline.path }),
      maxConcurrentActivityTaskExecutions: groups,
      maxHeartbeatThrottleInterval: '1s',
    });
    try {
      return await worker.runUntil(body());
    } finally {
      await slots.close();
      lifeline.close();
      await Promise.all(connections.map((connection) => connection.close()));
    }
  };
}

const commonOf = (env: TestWorkflowEnvironment) => ({ connection: env.nativeConnection, namespace: env.namespace ?? 'default' });

/** Replays the histories of experiments of these names; with BACKSPIN_RECORD in the environment, saves them. */
export async function replays(t: ExecutionContext, on: Site, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const handle = on.env.client.workflow.getHandle(workflowId.experiment(on.services.store.id, name));
    const history = await handle.fetchHistory();
    await t.notThrowsAsync(Worker.runReplayHistory({ workflowBundle: on.bundle }, history, handle.workflowId), name);
    const kept = resolve(import.meta.dirname, '../workflows/histories', `${name}.json`);
    if (process.env['BACKSPIN_RECORD']) await writeFile(kept, historyToJSON(history));
  }
}

/** Polls until `what` returns a value, because the server has no call that waits for it. */
export async function until<T>(what: () => Promise<T | undefined | false>, milliseconds = 300_000): Promise<T> {
  const end = Date.now() + milliseconds;
  for (;;) {
    const found = await what();
    if (found) return found;
    if (Date.now() > end) throw new Error('it did not happen in time');
    await new Promise((next) => setTimeout(next, 50));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => void server.close(done));
  return port;
}
