/** A worker of the toy world in a process of its own: `node worker-process.ts orchestrator|data|pool`. */
import { NativeConnection, Worker } from '@temporalio/worker';
import { dataActivities, stepsOf } from '../../activities/data.ts';
import { shards } from '../../activities/gpu.ts';
import type { Lease } from '../../activities/open.ts';
import { openServices, type StepContext } from '../../activities/services.ts';
import { activity } from '../../activities/wrap.ts';
import { ModelClient } from '../../inference/client.ts';
import { Fixed } from '../../inference/limiter.ts';
import type { Call } from '../../recipe/call.ts';
import { queues } from '../../schemas/names.ts';

const [kind] = process.argv.slice(2);
const { HOME_FOLDER, ADDRESS, MODEL_URL, BUNDLE } = process.env as Record<string, string>;
const services = await openServices(HOME_FOLDER!);
const connection = await NativeConnection.connect({ address: ADDRESS! });
const store = services.store.id;

/** Holds the lease as the real one does, with a server that the test runs itself. */
const pool = {
  serve: (_call: Call, _context: StepContext, stepKey: string, lease: Lease): Promise<void> =>
    activity(async ({ signal }) => {
      const limit = Math.ceil(lease.serving.slots * 1.25);
      const client = new ModelClient({ endpoint: async () => ({ url: MODEL_URL!, key: 'key' }), limiter: new Fixed(limit) });
      const ended = new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
      const models = { of: () => ({ client, served: 'mock' }), concurrency: limit };
      await shards({ services, connection, namespace: 'default' }, queues.lease(store, stepKey), models, stepsOf(services), ended);
    }),
};

const common = { connection, maxHeartbeatThrottleInterval: '1s' } as const;
const worker =
  kind === 'orchestrator'
    ? await Worker.create({ ...common, taskQueue: queues.orchestrator(store), workflowBundle: { codePath: BUNDLE! } })
    : kind === 'data'
      ? await Worker.create({ ...common, taskQueue: queues.data(store), activities: dataActivities(services) })
      : await Worker.create({ ...common, taskQueue: queues.pool(store, 'cpu'), activities: pool, maxConcurrentActivityTaskExecutions: 1 });
process.stdout.write('ready\n');
await worker.run();
await connection.close();
