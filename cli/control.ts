/** The verbs that tell an open experiment something: each is one update, and a refused one says why. */
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import type { Budget } from '../schemas/steps.ts';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import * as messages from '../schemas/messages.ts';
import { connect, type Temporal } from '../host/connect.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';

/** Milliseconds for an orchestrator to take an update. */
const DEADLINE = 15_000;

export const where = (step: string | undefined): messages.Target => (step === undefined ? {} : { path: step });
const onStep = (update: UpdateDefinition<void, [messages.Target]>, said: string) => ({
  run: (name: string, step: string | undefined): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(update, { args: [where(step)] }), said),
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
    send(name, (handle) => handle.executeUpdate(messages.setBudget, { args: [{ ...where(step), ...budget }] }), 'goes on with that'),
};

export async function send(name: string, tell: (handle: WorkflowHandle) => Promise<void>, said: string): Promise<void> {
  const record = await experimentOf(await openHome(), name);
  const temporal = await connect();
  try {
    refuseClosed(record, temporal);
    await temporal.client.connection.withDeadline(Date.now() + DEADLINE, () =>
      taken(() => tell(temporal.client.workflow.getHandle(record.workflowId))),
    );
  } catch (error) {
    throw sentence(error, name, temporal);
  } finally {
    await temporal.close();
  }
  console.log(`${name} ${said}.`);
}

/** Says it again, a few times, where the server has dropped it: an update changes nothing when something else comes in the moment in which
 *  it ends the workflow, since the whole task is then done anew. */
export async function taken(tell: () => Promise<void>, times = 5): Promise<void> {
  try {
    return await tell();
  } catch (error) {
    if (grpcOf(error).code !== FAILED_PRECONDITION || times === 1) throw error;
    return taken(tell, times - 1);
  }
}

/** Whoever has ended is told nothing; its workflow's id may be that of a later launch. */
export function refuseClosed(record: ExperimentRecord, { address }: Temporal): void {
  if (isClosed(record)) throw notOpen(record.name, address);
}
const notOpen = (name: string, address: string) =>
  new BackspinError(
    'NotOpen',
    `The experiment ${name} is not running at ${address}: \`backspin status ${name}\` shows how it ended, \`backspin launch\` starts it again.`,
  );

/** What a person should know when an open experiment could not be told something. */
export function sentence(error: unknown, name: string, { address }: Temporal): unknown {
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
/** The server's own words; the client may have wrapped them. */
function grpcOf(error: unknown): { code?: number; details?: string } {
  const { code, cause } = error as { code?: number; cause?: unknown };
  return typeof code === 'number' ? (error as { code: number; details: string }) : cause === undefined ? {} : grpcOf(cause);
}
