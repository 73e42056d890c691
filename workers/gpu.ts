/** A gpu worker: serves and trains on the device groups of one pool of this host. */
import { Worker } from '@temporalio/worker';
import { gpuActivities } from '../activities/gpu.ts';
import { ActivitySlots, tunerOf } from '../activities/slots.ts';
import { logAttributes } from '../activities/log-attributes.ts';
import { traced } from '../activities/traced.ts';
import { inflight } from '../devices/inflight.ts';
import { Slots } from '../devices/slots.ts';
import type { Pool } from '../schemas/devices.ts';
import { queues } from '../schemas/names.ts';
import { required, runWorkers, openWorker } from './worker.ts';

const site = await openWorker();
const pool = required('BACKSPIN_POOL');
const { groups, keepWarm, timeSlice } = JSON.parse(required('BACKSPIN_POOL_SETTINGS')) as Pool;
const slots = new Slots({ home: site.services.home, pool, groups, keepWarmFor: keepWarm });
const common = { namespace: site.namespace, dataConverter: site.dataConverter };
const connections = await Promise.all(groups.map(() => site.connect()));
const room = new ActivitySlots(slots.groups);
const worker = await Worker.create({
  connection: site.connection,
  ...common,
  taskQueue: queues.pool(site.services.store.id, pool),
  activities: gpuActivities(
    { services: site.services, slots, timeSlice, connections, ...common, lifeline: required('BACKSPIN_LIFELINE') },
    room,
  ),
  interceptors: { activity: [inflight(site.services.home), logAttributes, ...traced(site.services.traces)] },
  tuner: tunerOf(room),
  // A lease that is released must end at once, whatever its heartbeat timeout: its heartbeat delivers the cancellation.
  maxHeartbeatThrottleInterval: '500ms',
  shutdownGraceTime: 0,
});
const presence = await Worker.create({
  connection: site.connection,
  ...common,
  taskQueue: queues.pollers(site.services.store.id, pool),
  activities: { here: async () => {} },
  maxConcurrentActivityTaskExecutions: 1,
  maxConcurrentActivityTaskPolls: 1,
  // So the controller of Slurm's jobs knows which of them are up.
  ...(process.env['SLURM_JOB_ID'] && { identity: `slurm-${process.env['SLURM_JOB_ID']}` }),
});
await runWorkers([worker, presence], site);
await slots.close();
await Promise.all(connections.map((connection) => connection.close()));
