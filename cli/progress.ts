/** The state of an experiment: Temporal's while it is open and an orchestrator answers, the store's otherwise. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { Temporal } from './connect.ts';
import { waitsOf, type Waits } from './waits.ts';

/** Milliseconds for an answer; a query without a worker would hang half a minute. */
const DEADLINE = 2_000;

export interface Progress {
  readonly record: ExperimentRecord;
  readonly open: boolean;
  /** Why `record` may be behind; null: it is not. */
  readonly stale: string | null;
  /** What running steps wait for, by path. */
  readonly waits?: ReadonlyMap<string, Waits>;
}

/** `others`: open experiments, which may hold what this one waits for. */
export async function progressOf(
  temporal: Temporal,
  record: ExperimentRecord,
  others?: () => Promise<readonly ExperimentRecord[]>,
): Promise<Progress> {
  const { client } = temporal;
  const { connection } = client;
  const handle = client.workflow.getHandle(record.workflowId);
  let status: string;
  let runId: string;
  try {
    ({
      status: { name: status },
      runId,
    } = await connection.withDeadline(Date.now() + DEADLINE, () => handle.describe()));
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { record, open: false, stale: null };
    return { record, open: false, stale: `the Temporal server does not answer (${(error as Error).message})` };
  }
  if (status !== 'RUNNING') {
    const ended = ends[status];
    const closed = ['completed', 'failed', 'cancelled'].includes(record.state);
    return { record: ended && !closed ? { ...record, runId, ...ended } : record, open: false, stale: null };
  }
  try {
    const live = await connection.withDeadline(Date.now() + DEADLINE, () => handle.query<ExperimentRecord>('progress'));
    const waits = await connection.withDeadline(Date.now() + DEADLINE, () => waitsOf(temporal, live, others));
    return { record: live, open: true, stale: null, waits };
  } catch (error) {
    const why = (error as Error).message.split('\n')[0];
    return {
      record: { ...record, runId },
      open: true,
      stale: `no orchestrator answers (${why}): these are the counts of the last round. See \`backspin doctor\``,
    };
  }
}

/** Of an experiment that ended without telling the store: terminated, or before its first record. */
const ends: Record<string, Pick<ExperimentRecord, 'state' | 'failure'> | undefined> = {
  COMPLETED: { state: 'completed', failure: null },
  CANCELLED: { state: 'cancelled', failure: null },
  FAILED: { state: 'failed', failure: 'the workflow failed; the Temporal UI shows why' },
  TERMINATED: { state: 'failed', failure: 'the workflow was terminated' },
  TIMED_OUT: { state: 'failed', failure: 'the workflow timed out' },
};
