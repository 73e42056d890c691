/** A data worker: opens steps, reads sources, reduces, commits, and runs maps that ask no model or an external one. */
import { Worker, type WorkerOptions } from '@temporalio/worker';
import { dataActivities } from '../activities/data.ts';
import { Threads } from '../activities/threads.ts';
import { logAttributes } from '../activities/log-attributes.ts';
import { traced } from '../activities/traced.ts';
import { inflight } from '../devices/inflight.ts';
import { queues } from '../schemas/names.ts';
import { runWorkers, openWorker } from './worker.ts';

const site = await openWorker();
const { home, store } = site.services;
const common = {
  connection: site.connection,
  namespace: site.namespace,
  dataConverter: site.dataConverter,
  activities: dataActivities(site.services, new Threads(site.services).prepare()),
  interceptors: { activity: [inflight(home), logAttributes, ...traced(site.services.traces)] },
  maxHeartbeatThrottleInterval: '1s',
} satisfies Omit<WorkerOptions, 'taskQueue'>;
const data = Worker.create({
  ...common,
  taskQueue: queues.data(store.id),
  // Most activities are short. Long computations run in threads, so they delay no look-up.
  maxConcurrentActivityTaskExecutions: 200,
  shutdownGraceTime: '10s',
});
// A batch of a slow external server occupies a slot but little else, so there are many slots.
const external = Worker.create({
  ...common,
  taskQueue: queues.external(store.id),
  maxConcurrentActivityTaskExecutions: 100,
  shutdownGraceTime: 0,
});
await runWorkers(await Promise.all([data, external]), site);
