/** Notes of steps in the store, so that they are known when no workflow can be asked: after `down`, or when everything was killed. */
import { Context } from '@temporalio/activity';
import type { StepCall } from '../schemas/call.ts';
import type { LedgerEntry, Step } from '../schemas/experiment.ts';
import type { Services } from '../steps/services.ts';
import type { StepContext } from '../schemas/steps.ts';

type Who = Pick<Services, 'store'>;

/** Notes that a step has ended, and gives what it gave. */
export async function noteFinished(services: Who, call: StepCall, context: StepContext, entry: LedgerEntry): Promise<LedgerEntry> {
  await note(services, call, context, { state: 'completed', ...entry });
  return entry;
}

/** Notes that a step begins. */
export const noteBegun = (services: Who, call: StepCall, context: StepContext, stepKey: string): Promise<void> =>
  note(services, call, context, { state: 'running', stepKey, cached: false, result: null });

/** One that cannot be written hinders nothing. */
async function note(
  { store }: Who,
  { path, arm, round, label: name, verb: kind, operation }: StepCall,
  { experiment, configDigest }: StepContext,
  now: Pick<Step, 'state' | 'stepKey' | 'cached' | 'result'>,
): Promise<void> {
  if (configDigest === undefined) return;
  try {
    await store.noteStep({ experiment, configDigest, step: { path, arm, round, name, kind, operation: operation, ...now } });
  } catch (error) {
    Context.current().log.warn(`the step ${path} could not be noted`, { error: String(error) });
  }
}
