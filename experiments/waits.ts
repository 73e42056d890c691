/** Reads why running steps wait from their pending activities: heartbeats and last failures. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import type { DownloadState, HeldState } from '../schemas/steps.ts';
import type { LeaseState } from '../schemas/devices.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { queues, workflowId } from '../schemas/names.ts';
import type { Temporal } from '../host/connect.ts';
import { duration, size } from '../schemas/units.ts';

/** Times are ISO 8601. */
export type Waits =
  | HeldState
  | DownloadState
  /** Waits for a device group of a pool or, if `pool` is null, for a data worker. `heldBy`: the experiments and steps that hold it, if
   *  known. */
  | { readonly state: 'queued'; readonly pool: string | null; readonly since: string; readonly heldBy: readonly string[] }
  /** Waits for its model server, or for a subprocess that trains, embeds or scores. `after`: why it restarts. */
  | { readonly state: 'starting'; readonly what: string; readonly since: string; readonly after: string | null }
  /** Waits for another experiment, which computes the same step. */
  | { readonly state: 'elsewhere'; readonly experiment: string; readonly since: string }
  /** Waits for its next attempt. */
  | { readonly state: 'failing'; readonly attempts: number; readonly why: string; readonly since: string }
  | { readonly state: 'paused' }
  /** Waits until `up` runs. */
  | { readonly state: 'stopped' };

/** PENDING_ACTIVITY_STATE_SCHEDULED: no worker has the task; after a failed attempt it waits for its retry. */
const SCHEDULED = 1;
/** From this attempt on, a failure is more than a hand-over between workers. */
const FAILING_ATTEMPTS = 3;
/** Activities whose waits are reported elsewhere: a pool without a worker as a notice, lack of disk space as attention, another
 *  experiment through its stage. */
const REPORTED_ELSEWHERE = new Set(['watch', 'wait', 'room', 'record']);

interface PendingActivity {
  /** `serve` in the activity id `serve r1/judge`. */
  readonly verb: string;
  readonly path: string;
  readonly queue: string;
  readonly scheduled: boolean;
  readonly attempt: number;
  readonly since: string;
  readonly failure: string | undefined;
  readonly details: HeldState | DownloadState | LeaseState | { readonly state?: undefined } | undefined;
}
interface Described {
  readonly pending: readonly PendingActivity[];
  readonly began: string;
  readonly parent: string | undefined;
}

/** Returns waits by step path. `others`: open experiments, which may hold the awaited devices. */
export async function waitsOf(
  temporal: Pick<Temporal, 'client'>,
  record: ExperimentRecord,
  others: () => Promise<readonly ExperimentRecord[]> = async () => [],
): Promise<ReadonlyMap<string, Waits>> {
  const [store] = record.workflowId.split('.') as [string];
  const running = record.steps.filter(({ state }) => state === 'running');
  if (running.length === 0 || record.state === 'paused') return new Map(running.map(({ path }) => [path, { state: 'paused' }]));
  const own = await describe(temporal, record.workflowId);
  const stages = new Map(
    await Promise.all(
      running
        .filter(({ kind, stepKey }) => stepKey !== null && (kind === 'map' || kind === 'evaluate'))
        .map(
          async ({ path, operation, stepKey }) => [path, await describe(temporal, workflowId.stage(store, operation, stepKey!))] as const,
        ),
    ),
  );
  const queued = running.some(({ path }) => own?.pending.some((one) => one.path === path && one.scheduled));
  const holders = queued ? await holdersOf(temporal, record, own, await others()) : [];
  const found = running.flatMap((step) => {
    const pending = (own?.pending ?? []).filter(({ path, verb }) => path === step.path && !REPORTED_ELSEWHERE.has(verb));
    const waits = elsewhere(record, stages.get(step.path)) ?? waitOf(store, step, pending, stages.get(step.path)?.pending ?? [], holders);
    return waits ? [[step.path, waits] as const] : [];
  });
  return new Map(found);
}

function elsewhere({ workflowId: own }: ExperimentRecord, stage: Described | undefined): Waits | undefined {
  if (!stage?.parent || stage.parent === own) return undefined;
  return { state: 'elsewhere', experiment: stage.parent.slice(stage.parent.indexOf('.') + 1), since: stage.began };
}

type Holder = Pick<PendingActivity, 'queue'> & { readonly name: string };
function waitOf(
  store: string,
  { kind }: Step,
  pending: readonly PendingActivity[],
  batches: readonly PendingActivity[],
  holders: readonly Holder[],
): Waits | undefined {
  const all = [...pending, ...batches];
  const held = all.find(({ details }) => details?.state === 'held');
  if (held) return held.details as HeldState;
  const download = all.find(({ scheduled, details }) => !scheduled && details?.state === 'downloading');
  if (download) return download.details as DownloadState;
  const failing = all.find(({ scheduled, attempt, failure }) => scheduled && attempt >= FAILING_ATTEMPTS && failure !== undefined);
  if (failing) return { state: 'failing', attempts: failing.attempt - 1, why: failing.failure!, since: failing.since };
  const lease = pending.find(({ scheduled, details }) => !scheduled && (details?.state === 'starting' || details?.state === 'waiting'));
  if (lease) {
    const { since } = lease.details as LeaseState;
    const what = lease.verb === 'serve' ? 'the server' : kind === 'train' ? 'the training' : 'the batch';
    return { state: 'starting', what, since: new Date(since).toISOString(), after: lease.failure ?? null };
  }
  if (pending.some(({ verb, scheduled }) => verb === 'serve' && !scheduled)) return undefined; // one running lease is enough
  const waiting = pending.find(({ scheduled }) => scheduled);
  if (!waiting) return undefined;
  const pools = queues.pool(store, '');
  return {
    state: 'queued',
    pool: waiting.queue.startsWith(pools) ? waiting.queue.slice(pools.length) : null,
    since: waiting.since,
    heldBy: holders.filter(({ queue }) => queue === waiting.queue).map(({ name }) => name),
  };
}

/** Returns the steps that hold each queue. */
async function holdersOf(
  temporal: Pick<Temporal, 'client'>,
  record: ExperimentRecord,
  own: Described | undefined,
  others: readonly ExperimentRecord[],
): Promise<Holder[]> {
  const open = others.filter(({ workflowId: id }) => id !== record.workflowId);
  const described = await Promise.all(open.map(async ({ name, workflowId: id }) => [name, await describe(temporal, id)] as const));
  return [[record.name, own] as const, ...described].flatMap(([name, one]) =>
    (one?.pending ?? [])
      .filter(({ scheduled, verb }) => !scheduled && !REPORTED_ELSEWHERE.has(verb))
      .map(({ queue, path }) => ({ queue, name: `${path}${name === record.name ? '' : ` of ${name}`}` })),
  );
}

/** Returns undefined if the workflow does not exist or has ended. */
async function describe({ client }: Pick<Temporal, 'client'>, id: string): Promise<Described | undefined> {
  try {
    const { raw, status, parentExecution, startTime } = await client.workflow.getHandle(id).describe();
    if (status.name !== 'RUNNING') return undefined;
    const pending = (raw.pendingActivities ?? []).map(async (one): Promise<PendingActivity> => {
      const [, verb = '', path = ''] = /^(\S+)(?: \d+)? (.*)$/.exec(one.activityId ?? '') ?? [];
      const [details] = await decodeArrayFromPayloads(client.options.loadedDataConverter, one.heartbeatDetails?.payloads);
      const scheduled = one.state === SCHEDULED;
      return {
        verb,
        path,
        queue: one.activityOptions?.taskQueue?.name ?? '',
        scheduled,
        attempt: one.attempt ?? 1,
        since: iso(scheduled ? one.scheduledTime : one.lastStartedTime),
        failure: one.lastFailure?.message || undefined,
        details: details as PendingActivity['details'],
      };
    });
    return { pending: await Promise.all(pending), began: startTime.toISOString(), parent: parentExecution?.workflowId ?? undefined };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

const iso = (time: { seconds?: unknown } | null | undefined): string => new Date(Number(time?.seconds ?? 0) * 1000).toISOString();

/** Formats a wait as a part of a line. */
export function waitText(waits: Waits, now = Date.now()): string {
  if (waits.state === 'paused' || waits.state === 'stopped') return waits.state;
  if (waits.state === 'downloading') return `downloading, ${size(waits.bytes)} of ${size(waits.of)}`;
  const lasts = duration(Math.max(0, now - Date.parse(waits.since)) / 1000);
  switch (waits.state) {
    case 'held':
      return `held by ${waits.url}, ${lasts}`;
    case 'queued': {
      const by = waits.heldBy.length === 0 ? '' : `, held by ${waits.heldBy.slice(0, 4).join(', ')}`;
      return waits.pool === null ? `waiting for a data worker, ${lasts}` : `waiting for a device of the pool ${waits.pool}${by}, ${lasts}`;
    }
    case 'starting':
      return `starting ${waits.what}, ${lasts}${waits.after === null ? '' : ` (before: ${waits.after.split('\n')[0]!.slice(0, 200)})`}`;
    case 'elsewhere':
      return `waiting for the experiment ${waits.experiment}, which computes it, ${lasts}`;
    case 'failing':
      return `failed ${waits.attempts} times and is tried again: ${waits.why.split('\n')[0]!.slice(0, 200)}`;
  }
}
