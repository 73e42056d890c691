/** How a workflow tells errors apart. */
import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure } from '@temporalio/workflow';

/** The step is asked for again by the next run. */
export class FromTheTop extends Error {}

export interface Cause {
  readonly type: string;
  readonly message: string;
}

/** The error that an activity threw, under what Temporal wrapped around it. */
export function causeOf(error: unknown): Cause {
  let inner = error;
  while ((inner instanceof ActivityFailure || inner instanceof ChildWorkflowFailure) && inner.cause) inner = inner.cause;
  const { name, message } = inner as Error;
  return { type: inner instanceof ApplicationFailure ? (inner.type ?? name) : name, message };
}
