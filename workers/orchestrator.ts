/** The orchestrator: a worker that only runs workflows. */
import { Worker } from '@temporalio/worker';
import { queues } from '../schemas/names.ts';
import { workflowBundle } from './bundle.ts';
import { runWorkers, openWorker } from './worker.ts';

const site = await openWorker();
const worker = await Worker.create({
  connection: site.connection,
  namespace: site.namespace,
  dataConverter: site.dataConverter,
  taskQueue: queues.orchestrator(site.services.store.id),
  workflowBundle: await workflowBundle(site.services.home),
  buildId: site.services.build,
  // After a worker was killed, its runs wait on its sticky queue for this long.
  stickyQueueScheduleToStartTimeout: '1s',
  shutdownGraceTime: '5s',
});
await runWorkers([worker], site);
