/** Pauses the miniature in mid-batch and measures from Temporal's events how soon the pause took effect. */
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { StepView } from '../../experiments/view.ts';
import type { Miniature } from './miniature.ts';

/** Seconds since the pause. */
export interface Pause {
  /** Until the stage and its batches ended: no requests any more. */
  readonly stage: number;
  /** Until the lease and its server ended: the device is free. */
  readonly lease: number;
}
interface Event {
  readonly eventId: string;
  readonly eventTime: string;
  readonly workflowExecutionUpdateAcceptedEventAttributes?: object;
  readonly activityTaskScheduledEventAttributes?: { readonly activityId: string };
  readonly activityTaskCompletedEventAttributes?: { readonly scheduledEventId: string };
  readonly activityTaskCanceledEventAttributes?: { readonly scheduledEventId: string };
  readonly childWorkflowExecutionCanceledEventAttributes?: { readonly workflowExecution: { readonly workflowId: string } };
}

/** Pauses once the step has journaled this many records. */
export async function pause(site: Miniature, { path, stepKey }: StepView, records: number): Promise<Pause> {
  const connection = await Connection.connect({ address: site.current.address });
  try {
    const root = new Client({ connection }).workflow.getHandle(site.record.workflowId);
    await site.until(
      async () => ((await site.live('map', stepKey!))?.done ?? 0) >= records,
      1_000_000,
      `${path} has come so far that it can be paused`,
    );
    await root.executeUpdate('pause');

    let events: Event[] = [];
    const time = (what: (event: Event) => boolean) => Date.parse(events.find(what)?.eventTime ?? '');
    const said = () => time((event) => event.workflowExecutionUpdateAcceptedEventAttributes !== undefined);
    const stage = () =>
      time(({ childWorkflowExecutionCanceledEventAttributes: child }) =>
        Boolean(child?.workflowExecution.workflowId.endsWith(stepKey!.slice(0, 16))),
      );
    const lease = () => {
      const id = events.find((event) => event.activityTaskScheduledEventAttributes?.activityId === `serve ${path}`)?.eventId;
      return time(
        (event) => (event.activityTaskCompletedEventAttributes ?? event.activityTaskCanceledEventAttributes)?.scheduledEventId === id,
      );
    };
    const over = async () => {
      ({ events } = JSON.parse(historyToJSON(await root.fetchHistory())) as { events: Event[] });
      return stage() > 0 && lease() > 0;
    };
    await site.until(over, 600_000, `${path} has stopped`);
    if (site.committed(stepKey!)) throw new Error(`${path} was over before it could be paused`);
    if (site.slot(stepKey!) !== undefined) throw new Error(`the server of ${path} lives although its lease has ended`);
    return { stage: (stage() - said()) / 1000, lease: (lease() - said()) / 1000 };
  } finally {
    await connection.close();
  }
}
