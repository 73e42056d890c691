/** Sends Temporal updates to open experiments, and explains refusals. */
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import { connect, type Temporal } from '../host/connect.ts';
import { openHome } from '../host/home-store.ts';
import { requirePayloadKey } from '../host/payload-codec.ts';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';

/** Milliseconds for an orchestrator to accept an update. */
const DEADLINE = 15_000;

/** Throws a `BackspinError` with a sentence if the experiment has ended, refuses the update, or nobody takes it. */
export async function sendUpdate(record: ExperimentRecord, update: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
  await requirePayloadKey(await openHome());
  const temporal = await connect();
  try {
    requireOpen(record, temporal);
    await temporal.client.connection.withDeadline(Date.now() + DEADLINE, () =>
      retryIfDropped(() => update(temporal.client.workflow.getHandle(record.workflowId))),
    );
  } catch (error) {
    throw explain(error, record.name, temporal);
  } finally {
    await temporal.close();
  }
}

/** Sends the update again, a few times, if the server has dropped it: that happens when another event arrives in the moment in which the
 *  workflow task ends the workflow, because the server then repeats the whole task. */
export async function retryIfDropped(update: () => Promise<void>, times = 5): Promise<void> {
  try {
    return await update();
  } catch (error) {
    if (grpcOf(error).code !== FAILED_PRECONDITION || times === 1) throw error;
    return retryIfDropped(update, times - 1);
  }
}

/** Throws if the experiment has ended: a later launch may use the same workflow id. */
export function requireOpen(record: ExperimentRecord, { address }: Temporal): void {
  if (isClosed(record)) throw notOpen(record.name, address);
}
const notOpen = (name: string, address: string) =>
  new BackspinError(
    'NotOpen',
    `The experiment ${name} is not running at ${address}: \`backspin status ${name}\` shows how it ended, \`backspin launch\` starts it again.`,
  );

/** Turns an error of an update into a sentence for the user. */
export function explain(error: unknown, name: string, { address }: Temporal): unknown {
  if (error instanceof WorkflowUpdateFailedError) return new BackspinError('Refused', error.cause?.message ?? error.message);
  if (error instanceof WorkflowNotFoundError) return notOpen(name, address);
  const { code, details } = grpcOf(error);
  if (code === DEADLINE_EXCEEDED) {
    const seconds = DEADLINE / 1000;
    return new BackspinError('NoOrchestrator', `No orchestrator took it within ${seconds} s: \`backspin doctor\` shows what is missing.`);
  }
  return code === undefined
    ? error
    : new BackspinError('Refused', `The Temporal server at ${address} refuses it: ${details}.`, { cause: error });
}

const DEADLINE_EXCEEDED = 4;
const FAILED_PRECONDITION = 9;
/** Finds the gRPC error, which the client may have wrapped. */
function grpcOf(error: unknown): { code?: number; details?: string } {
  const { code, cause } = error as { code?: number; cause?: unknown };
  return typeof code === 'number' ? (error as { code: number; details: string }) : cause === undefined ? {} : grpcOf(cause);
}
