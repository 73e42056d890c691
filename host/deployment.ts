/** What the hosts of one store have in common: the build of backspin, the trainer's versions, and what each pool computes on. Otherwise one
 *  host would look for a step under another key than the one under which another host has stored it. */
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { z } from 'zod';
import { pythonOf, trainerIdentity } from '../devices/python.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { queues, taskQueueType } from '../schemas/names.ts';
import { sharedDevice, sharedPoolFile } from '../steps/machine.ts';
import type { Store } from '../store/store.ts';

const deployment = z.object({ build: z.string(), trainer: z.string() });
type Deployment = z.infer<typeof deployment>;

const fileOf = ({ blobs }: Store) => join(blobs.paths.root, 'deployment.json');

/** The build and the trainer that the hosts of a store run; undefined: none has joined it. */
export async function deploymentOf(store: Store): Promise<Deployment | undefined> {
  const text = (await store.blobs.read(fileOf(store)))?.toString();
  return text === undefined ? undefined : deployment.parse(JSON.parse(text));
}

/** Joins the hosts of a store. Throws `Refused` if they run another build or trainer: only an orchestrator, and only once no worker of theirs
 *  polls, may have the store go over to its own. Throws likewise for a pool that computes on other devices. */
export async function joinDeployment(
  store: Store,
  client: Client,
  build: string,
  { orchestrator, devices }: { readonly orchestrator: boolean; readonly devices: Readonly<Record<string, string>> },
): Promise<void> {
  const own: Deployment = { build, trainer: sha256(canonicalJson(await trainerIdentity(pythonOf()))) };
  if (!(await store.blobs.putIfAbsent(fileOf(store), JSON.stringify(own)))) {
    const theirs = await deploymentOf(store);
    if (!isDeepStrictEqual(theirs, own)) {
      const what = theirs?.build === build ? "other versions of the trainer's Python packages" : 'other files of backspin';
      const same = `Install the same on all hosts`;
      if (!orchestrator)
        throw new BackspinError(
          'Refused',
          `The hosts of ${store.location} run ${what} than this one. ${same}; a new version begins with \`backspin worker --orchestrator\`.`,
        );
      const polled = await polledQueue(client, [queues.orchestrator(store.id), queues.data(store.id)]);
      if (polled !== undefined)
        throw new BackspinError(
          'Refused',
          `The hosts of ${store.location} run ${what} than this one, and a worker of theirs has polled ${polled} within ${RECENT / 1000} s. ${same}, or stop all of them and run this again.`,
        );
      await store.blobs.write(fileOf(store), JSON.stringify(own));
    }
  }
  for (const [pool, device] of Object.entries(devices)) await joinPool(store, client, pool, device);
}

async function joinPool(store: Store, client: Client, pool: string, device: string): Promise<void> {
  const [file, text] = [sharedPoolFile(store, pool), JSON.stringify({ device })];
  if (await store.blobs.putIfAbsent(file, text)) return;
  const theirs = await sharedDevice(store, pool);
  if (theirs === device) return;
  if ((await polledQueue(client, [queues.pollers(store.id, pool)])) !== undefined)
    throw new BackspinError(
      'Refused',
      `The pool ${pool} computes on ${theirs} on other hosts, and on ${device} here: results of one pool must not depend on the host. Give this one another name.`,
    );
  await store.blobs.write(file, text);
}

/** Milliseconds. A poll lasts up to a minute. */
const RECENT = 90_000;

/** The first of these queues that a worker has lately polled, for workflows or for activities. */
export async function polledQueue({ options, workflowService }: Client, names: readonly string[]): Promise<string | undefined> {
  for (const name of names)
    for (const type of Object.values(taskQueueType)) {
      const { pollers } = await workflowService.describeTaskQueue({
        namespace: options.namespace,
        taskQueue: { name },
        taskQueueType: type,
      });
      if ((pollers ?? []).some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > Date.now() - RECENT)) return name;
    }
  return undefined;
}
