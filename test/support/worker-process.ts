/** Runs a worker of the toy world in a process of its own: `node worker-process.ts orchestrator|pool`. */
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { inFlightOf } from '../../steps/open.ts';
import { openServices } from '../../steps/services.ts';
import { failDeadAttempts, inflight } from '../../devices/inflight.ts';
import { ModelClient } from '../../inference/client.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import { queues } from '../../schemas/names.ts';
import { poolActivities } from './pool.ts';

const [kind] = process.argv.slice(2);
const { HOME_FOLDER, ADDRESS, MODEL_URL, BUNDLE } = process.env as Record<string, string>;
const services = await openServices(HOME_FOLDER!);
const connection = await NativeConnection.connect({ address: ADDRESS! });
const store = services.store.id;
await failDeadAttempts(new Client({ connection: await Connection.connect({ address: ADDRESS! }) }), services.home);

const pool = poolActivities({ services, connection, namespace: 'default' }, (lease) => {
  const limit = inFlightOf(lease);
  const client = new ModelClient({ endpoint: async () => ({ url: MODEL_URL!, key: 'key' }), limiter: new FixedLimiter(limit) });
  return { of: () => ({ client, served: 'mock' }), concurrency: limit };
});

const interceptors = { activity: [inflight(services.home)] };
const common = { connection, maxHeartbeatThrottleInterval: '500ms' as const, interceptors };
const workers = await Promise.all(
  kind === 'orchestrator'
    ? [Worker.create({ ...common, taskQueue: queues.orchestrator(store), workflowBundle: { codePath: BUNDLE! } })]
    : [
        Worker.create({ ...common, taskQueue: queues.pool(store, 'cpu'), activities: pool, maxConcurrentActivityTaskExecutions: 1 }),
        Worker.create({ ...common, taskQueue: queues.pollers(store, 'cpu'), activities: { here: async () => {} } }),
      ],
);
process.stdout.write('ready\n');
await Promise.all(workers.map((worker) => worker.run()));
await connection.close();
