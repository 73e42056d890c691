/** Implements the verbs that control an open experiment. Each sends one Temporal update; a refused update returns the reason. */
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import type { Budget } from '../schemas/steps.ts';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import * as messages from '../schemas/messages.ts';
import { connect, type Temporal } from '../host/connect.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';

/** Milliseconds for an orchestrator to accept an update. */
const DEADLINE = 15_000;

export const targetOf = (step: string | undefined): messages.Target => (step === undefined ? {} : { path: step });
const onStep = (update: UpdateDefinition<void, [messages.Target]>, said: string) => ({
  run: (name: string, step: string | undefined): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(update, { args: [targetOf(step)] }), said),
});
const onAll = (update: UpdateDefinition<void, []>, said: string) => ({
  run: (name: string): Promise<void> => send(name, (handle) => handle.executeUpdate(update), said),
});

export const approve = onStep(messages.approve, 'goes on');
export const reject = onStep(messages.reject, 'ends with what it had before the round');
export const giveUp = onStep(messages.giveUp, 'has given the step up');
export const pause = onAll(messages.pause, 'is paused; `backspin resume` goes on');
export const resume = onAll(messages.resume, 'goes on');
export const stop = {
  run: (name: string, { afterRound: round }: { afterRound: number }): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(messages.stopAfterRound, { args: [{ round }] }), `stops after round ${round}`),
};
export const setBudget = {
  run: (name: string, step: string | undefined, budget: Budget): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(messages.setBudget, { args: [{ ...targetOf(step), ...budget }] }), 'goes on with that'),
};

export async function send(name: string, update: (handle: WorkflowHandle) => Promise<void>, said: string): Promise<void> {
  const record = await experimentOf(await openHome(), name);
  const temporal = await connect();
  try {
    requireOpen(record, temporal);
    await temporal.client.connection.withDeadline(Date.now() + DEADLINE, () =>
      retryIfDropped(() => update(temporal.client.workflow.getHandle(record.workflowId))),
    );
  } catch (error) {
    throw explain(error, name, temporal);
  } finally {
    await temporal.close();
  }
  console.log(`${name} ${said}.`);
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
