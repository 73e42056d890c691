/** Notes the state of steps in the store, for readers that cannot query a workflow: after `down`, or when all processes were killed. */
import { Context } from '@temporalio/activity';
import type { StepCall } from '../schemas/call.ts';
import type { LedgerEntry, Step } from '../schemas/experiment.ts';
import type { Services } from '../steps/services.ts';
import type { StepContext } from '../schemas/steps.ts';

type Who = Pick<Services, 'store'>;

/** Notes that a step has finished and returns its entry. */
export async function noteFinished(services: Who, call: StepCall, context: StepContext, entry: LedgerEntry): Promise<LedgerEntry> {
  await note(services, call, context, { state: 'completed', ...entry });
  return entry;
}

/** Notes that a step begins. */
export const noteBegun = (services: Who, call: StepCall, context: StepContext, stepKey: string): Promise<void> =>
  note(services, call, context, { state: 'running', stepKey, cached: false, result: null });

/** Ignores errors: a missing note does no harm. */
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
