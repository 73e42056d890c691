/** Opens steps, reads sources, reduces, commits, and maps operators that talk to no model, or to one that somebody else serves. */
import { Worker, type WorkerOptions } from '@temporalio/worker';
import { dataActivities } from '../activities/data.ts';
import { Threads } from '../activities/threads.ts';
import { inflight } from '../devices/inflight.ts';
import { queues } from '../schemas/names.ts';
import { runWorkers, openWorker } from './worker.ts';

const site = await openWorker();
const { home, store } = site.services;
const common = {
  connection: site.connection,
  namespace: site.namespace,
  activities: dataActivities(site.services, new Threads(site.services)),
  interceptors: { activity: [inflight(home)] },
  maxHeartbeatThrottleInterval: '1s',
} satisfies Omit<WorkerOptions, 'taskQueue'>;
const data = Worker.create({
  ...common,
  taskQueue: queues.data(store.id),
  // Most are short; what is long waits for a thread, and keeps no look-up back.
  maxConcurrentActivityTaskExecutions: 200,
  shutdownGraceTime: '10s',
});
// Batches that a server holds up take a place for as long as it is away, and nothing else: so there are many.
const external = Worker.create({
  ...common,
  taskQueue: queues.external(store.id),
  maxConcurrentActivityTaskExecutions: 100,
  shutdownGraceTime: 0,
});
await runWorkers(await Promise.all([data, external]), site);
