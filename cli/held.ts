/** Which running steps wait for an external server: the activities that work for them say so with their heartbeats. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Held } from '../activities/external.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { workflowId } from '../schemas/names.ts';
import type { Temporal } from './connect.ts';

/** By the step's path. */
export async function heldSteps(temporal: Pick<Temporal, 'client'>, record: ExperimentRecord): Promise<ReadonlyMap<string, Held>> {
  const [store] = record.workflowId.split('.') as [string];
  const running = record.steps.filter(({ state, kind }) => state === 'running' && kind !== 'train');
  if (running.length === 0) return new Map();
  const own = await beats(temporal, record.workflowId);
  const found = await Promise.all(
    running.map(async ({ path, what, stepKey }) => {
      const shards = stepKey === null ? [] : await beats(temporal, workflowId.stage(store, what, stepKey));
      return [
        path,
        [...own.filter(({ id }) => id.endsWith(` ${path}`)), ...shards].find(({ details }) => details?.state === 'held'),
      ] as const;
    }),
  );
  return new Map(found.flatMap(([path, beat]) => (beat ? [[path, beat.details!]] : [])));
}

/** What the pending activities of a workflow said last. */
async function beats({ client }: Pick<Temporal, 'client'>, workflow: string): Promise<{ id: string; details: Held | undefined }[]> {
  try {
    const { raw } = await client.workflow.getHandle(workflow).describe();
    return (raw.pendingActivities ?? []).map(({ activityId, heartbeatDetails }) => {
      const data = heartbeatDetails?.payloads?.[0]?.data;
      return { id: activityId ?? '', details: data ? (JSON.parse(Buffer.from(data).toString()) as Held) : undefined };
    });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return [];
    throw error;
  }
}
