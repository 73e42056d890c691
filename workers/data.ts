/** Opens steps, reads sources, reduces, commits, and maps operators that talk to no managed model. */
import { Worker } from '@temporalio/worker';
import { dataActivities } from '../activities/data.ts';
import { inflight } from '../devices/inflight.ts';
import { queues } from '../schemas/names.ts';
import { runWorker, worksite } from './worker.ts';

const site = await worksite();
const worker = await Worker.create({
  connection: site.connection,
  namespace: site.namespace,
  taskQueue: queues.data(site.services.store.id),
  activities: dataActivities(site.services),
  interceptors: { activity: [inflight(site.services.home)] },
  maxConcurrentActivityTaskExecutions: 4,
  maxHeartbeatThrottleInterval: '1s',
  shutdownGraceTime: '10s',
});
await runWorker(worker, site);
