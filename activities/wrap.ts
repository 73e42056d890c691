/**
 * What every activity shares: it beats from a wall clock that covers every await, a cancellation comes out as one whatever the
 * library underneath made of it, and errors carry a type that workflows react to.
 */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { BackspinError } from '../schemas/errors.ts';

export interface Beat {
  readonly signal: AbortSignal;
  /** Shown in the Temporal UI; under 1 KB. A function is asked at every beat. */
  tell(details: object | (() => object)): void;
}

/** Milliseconds between beats; the SDK throttles them to what the heartbeat timeout asks for. */
const BEAT_EVERY = 500;

export async function activity<T>(body: (beat: Beat) => Promise<T>): Promise<T> {
  const context = Context.current();
  const signal = context.cancellationSignal;
  let details: object | (() => object) = {};
  const timer = setInterval(() => context.heartbeat(typeof details === 'function' ? details() : details), BEAT_EVERY);
  context.heartbeat(details);
  try {
    return await body({ signal, tell: (now) => (details = now) });
  } catch (error) {
    if (signal.aborted) throw signal.reason instanceof CancelledFailure ? signal.reason : new CancelledFailure('cancelled');
    throw failure(error);
  } finally {
    clearInterval(timer);
  }
}

export function failure(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (error instanceof BackspinError) {
    return ApplicationFailure.create({ type: error.type, message: error.message.slice(0, 2000), nonRetryable: !error.retryable });
  }
  if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
    return ApplicationFailure.create({
      type: 'DiskFull',
      message: 'The disk is full: free some space and the step goes on by itself.',
      nonRetryable: false,
    });
  }
  // Unknown: perhaps a bug, perhaps the moment. It is tried again a few times, and then a person looks at it.
  return ApplicationFailure.create({
    type: error.name,
    message: error.message.slice(0, 2000),
    details: [String(error.stack).slice(0, 1500)],
    nonRetryable: Context.current().info.attempt >= 5,
  });
}
