/** Looks after the Slurm pools of a deployment. */
import { resolve } from 'node:path';
import type { Client } from '@temporalio/client';
import { queues, taskQueueType } from '../../schemas/names.ts';
import { sharedDevice } from '../../steps/machine.ts';
import { putPoolNotice } from '../../steps/pool-notices.ts';
import type { Store } from '../../store/store.ts';
import { SlurmController, type Demand } from './controller.ts';
import { SlurmJobs } from './jobs.ts';
import type { SlurmSettings } from './settings.ts';

/** Milliseconds. A poll lasts up to a minute. */
const RECENT = 90_000;

/** Runs a controller for each pool until the signal. */
export async function runSlurmPools(
  pools: Readonly<Record<string, SlurmSettings>>,
  { store, client, signal }: { readonly store: Store; readonly client: Client; readonly signal: AbortSignal },
): Promise<void> {
  const command = [process.execPath, resolve(import.meta.dirname, '../../cli/backspin.js')];
  const env = { ...process.env, BACKSPIN_STORE: store.location };
  const controllers = Object.entries(pools).map(([pool, settings]) => {
    const report = async (sentence: string | null) => {
      if (sentence !== null) console.log(`${new Date().toISOString()} ${sentence}`);
      await putPoolNotice(store, pool, sentence);
    };
    const jobs = new SlurmJobs(`backspin-${store.id}-${pool}`, pool, settings, command, env);
    return new SlurmController({ pool, settings, jobs, demand: () => demandOf(store, client, pool), report }).run(signal);
  });
  await Promise.all(controllers);
}

/** The backlog of the pool's queue, and the jobs whose worker polls. A pool of which nobody knows what it computes on needs a worker: the keys of
 *  steps depend on it. */
async function demandOf(store: Store, { options, workflowService }: Client, pool: string): Promise<Demand> {
  const describe = (name: string) =>
    workflowService.describeTaskQueue({
      namespace: options.namespace,
      taskQueue: { name },
      taskQueueType: taskQueueType.activity,
      reportStats: true,
    });
  const [{ stats }, { pollers }, device] = await Promise.all([
    describe(queues.pool(store.id, pool)),
    describe(queues.pollers(store.id, pool)),
    sharedDevice(store, pool),
  ]);
  const recent = (pollers ?? []).filter(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > Date.now() - RECENT);
  const polling = recent.flatMap(({ identity }) => /^slurm-(.+)$/.exec(identity ?? '')?.[1] ?? []);
  return { needed: Number(stats?.approximateBacklogCount ?? 0) > 0 || device === undefined, polling: new Set(polling) };
}
