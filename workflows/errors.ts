/** How a workflow tells errors apart. */
import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure, TemporalFailure, TerminatedFailure } from '@temporalio/workflow';

/** The step is asked for again by the next run. */
export class RestartRecipe extends Error {}

export interface Cause {
  readonly type: string;
  readonly message: string;
}

/** The error that an activity threw, under what Temporal wrapped around it. */
export function causeOf(error: unknown): Cause {
  let inner = error;
  while ((inner instanceof ActivityFailure || inner instanceof ChildWorkflowFailure) && inner.cause) inner = inner.cause;
  if (!(inner instanceof Error)) return { type: 'Error', message: String(inner) };
  const { name, message } = inner;
  return { type: inner instanceof ApplicationFailure ? (inner.type ?? name) : name, message };
}

/** What ends a workflow, or refuses an update: anything else would only fail the task, which is then tried again for ever. */
export function failureOf(error: unknown): TemporalFailure {
  if (error instanceof TemporalFailure) return error;
  const { type, message } = causeOf(error);
  return ApplicationFailure.create({ type, message, nonRetryable: true, ...(error instanceof Error && { cause: error }) });
}

export const isTermination = (error: unknown): boolean => error instanceof ChildWorkflowFailure && error.cause instanceof TerminatedFailure;
