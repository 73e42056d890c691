/** Reads the state of an experiment: from Temporal while its workflow is open and an orchestrator answers, else from the store. */
import { WorkflowNotFoundError, type WorkflowHandle } from '@temporalio/client';
import { isClosed, latest, type ExperimentRecord, type RecordVersion } from '../schemas/experiment.ts';
import type { Progress as Live } from '../schemas/messages.ts';
import type { Temporal } from '../host/connect.ts';
import { waitsOf, type Waits } from './waits.ts';

/** Milliseconds for an answer; without a worker, a query would block for half a minute. */
const DEADLINE = 2_000;
/** Attempts of a workflow task from which on its own code must be at fault: the first ones may be lost with their worker. */
const FAILING_ATTEMPTS = 3;

export interface Progress {
  readonly record: ExperimentRecord;
  readonly open: boolean;
  /** Whether the record is open although the server has no such workflow. */
  readonly gone: boolean;
  /** Why `record` may be stale; null if it is current. */
  readonly stale: string | null;
  /** Reasons for which running steps wait, by path. */
  readonly waits?: ReadonlyMap<string, Waits>;
}

/** `others`: open experiments, which may hold the devices that this one waits for. */
export async function progressOf(
  temporal: Temporal,
  record: ExperimentRecord,
  others?: () => Promise<readonly ExperimentRecord[]>,
): Promise<Progress> {
  const over = { record, open: false, gone: false, stale: null };
  if (isClosed(record)) return over;
  const { connection } = temporal.client;
  const handle = temporal.client.workflow.getHandle(record.workflowId);
  let status: string;
  let runId: string;
  let attempts: number;
  try {
    const described = await connection.withDeadline(Date.now() + DEADLINE, () => handle.describe());
    ({
      status: { name: status },
      runId,
    } = described);
    attempts = described.raw.pendingWorkflowTask?.attempt ?? 0;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { ...over, gone: true, record: withEnd(record, missingWorkflow(record, temporal)) };
    return { ...over, stale: `the Temporal server does not answer (${(error as Error).message})` };
  }
  if (status !== 'RUNNING') return { ...over, record: withEnd({ ...record, runId }, endStates[status] ?? endStates['FAILED']!) };
  try {
    const live = await connection.withDeadline(Date.now() + DEADLINE, () => liveOf(handle, record));
    const waits = await connection.withDeadline(Date.now() + DEADLINE, () => waitsOf(temporal, live, others));
    return { record: live, open: true, gone: false, stale: null, waits };
  } catch (error) {
    const why = (error as Error).message.split('\n')[0];
    const stale =
      attempts >= FAILING_ATTEMPTS
        ? `its workflow fails by its own code, a recipe's or backspin's (its task has been tried ${attempts} times; the Temporal UI shows why), and stands still until that is mended`
        : `no orchestrator answers (${why}): these are the steps that the store has. See \`backspin doctor\``;
    return {
      record: { ...record, runId },
      open: true,
      gone: false,
      stale,
    };
  }
}

/** Adds the changes since the record was written. */
async function liveOf(handle: WorkflowHandle, { written, steps }: ExperimentRecord): Promise<ExperimentRecord> {
  const { since, ...live } = await handle.query<Live, [RecordVersion?]>('progress', ...(written ? [written] : []));
  return since ? { ...live, steps: latest(steps, live.steps) } : live;
}

type End = Pick<ExperimentRecord, 'state' | 'failure'>;
/** Closes a record whose workflow has ended. */
export const withEnd = (record: ExperimentRecord, { state, failure }: End): ExperimentRecord => ({
  ...record,
  state,
  failure,
  attention: [],
  steps: record.steps.map((step) => (step.state === 'completed' ? step : { ...step, state: state === 'failed' ? 'failed' : 'cancelled' })),
});

const missingWorkflow = ({ name }: ExperimentRecord, { address }: Temporal): End => ({
  state: 'failed',
  failure: `the Temporal server at ${address} has no workflow of it (it was never started there, or its database is another one): \`backspin launch\` starts it with what the store has, \`backspin cancel ${name}\` closes it`,
});

/** End states of an experiment that ended without updating the store: terminated, or before its first record. */
const endStates: Record<string, End | undefined> = {
  COMPLETED: { state: 'completed', failure: null },
  CANCELLED: { state: 'cancelled', failure: null },
  FAILED: { state: 'failed', failure: 'the workflow failed; the Temporal UI shows why' },
  TERMINATED: { state: 'failed', failure: 'the workflow was terminated' },
  TIMED_OUT: { state: 'failed', failure: 'the workflow timed out' },
};
