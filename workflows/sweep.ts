/** The parent of a sweep: starts its experiments as children, and ends when they have. Equal steps of them are one step of the store. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  CancelledFailure,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  startChild,
  type ChildWorkflowOptions,
} from '@temporalio/workflow';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { queues } from '../schemas/names.ts';
import type { SweepInput } from '../schemas/sweep.ts';
import { failureOf } from './errors.ts';
import { data } from './options.ts';

/** Returns how each experiment has ended. */
export async function sweep({ store, name, members, starts }: SweepInput): Promise<Record<string, ExperimentRecord['state']>> {
  const ended = async (member: SweepInput['members'][number]) => {
    const watch = data({
      id: `await ${member.name}`,
      summary: `the end of ${member.name}`,
      queue: queues.data(store),
      experiment: name,
    });
    return [member.name, await watch.awaitEnd(member.name, member.workflowId)] as const;
  };
  try {
    for (const options of starts) await start(options);
    return Object.fromEntries(await Promise.all(members.map(ended)));
  } catch (error) {
    // Not by the error: an attempt that fails just then is not tried again, and its own error comes.
    if (!CancellationScope.current().consideredCancelled) throw failureOf(error);
    await CancellationScope.nonCancellable(async () => {
      const cancelled = members.map(({ workflowId }) => getExternalWorkflowHandle(workflowId).cancel());
      await Promise.allSettled(cancelled); // some have ended, or never began
      await Promise.all(members.map(ended));
    });
    throw new CancelledFailure('The sweep was cancelled.');
  }
}

/** An experiment that runs already is taken as it is. */
async function start(options: ChildWorkflowOptions): Promise<void> {
  try {
    await startChild('experiment', { ...options, parentClosePolicy: ParentClosePolicy.ABANDON });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
