/** Wraps every activity: heartbeats on a timer, turns every error after a cancellation into a CancelledFailure, and gives errors a type
 *  that workflows react to. */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { BackspinError } from '../schemas/errors.ts';
import type { ActivityHandle } from '../steps/services.ts';

/** Milliseconds between heartbeats. The SDK throttles them according to the heartbeat timeout. */
const BEAT_EVERY = 500;

export async function activity<T>(body: (beat: ActivityHandle) => Promise<T>): Promise<T> {
  const context = Context.current();
  const signal = context.cancellationSignal;
  let details: object | (() => object) = {};
  let failures = failuresOf(context.info.heartbeatDetails);
  const beat = () => {
    const now = typeof details === 'function' ? details() : details;
    context.heartbeat(Object.keys(failures).length > 0 ? { ...now, failures } : now);
  };
  const timer = setInterval(beat, BEAT_EVERY);
  beat();
  try {
    return await body({ signal, heartbeat: (now) => (details = now) });
  } catch (error) {
    if (signal.aborted) throw signal.reason instanceof CancelledFailure ? signal.reason : new CancelledFailure('cancelled');
    const counted = kindOf(error);
    if (!counted) throw toFailure(error);
    const times = (failures[counted.kind] ?? 0) + 1;
    failures = Object.fromEntries([...Object.entries(failures), [counted.kind, times] as const].slice(-KINDS));
    beat(); // passes the count to the next attempt
    throw toFailure(error, times >= counted.limit);
  } finally {
    clearInterval(timer);
  }
}

/** Failures of an activity in all attempts, by kind. Deaths of workers and hand-overs do not count. */
type Failures = Readonly<Record<string, number>>;
/** The most kinds counted at once: heartbeat details must stay small. */
const KINDS = 8;
/** Failures of one kind after which the step needs your attention: of an unknown error, and of a healthy server that answers nothing (about
 *  10 minutes). */
const MAX_UNKNOWN_FAILURES = 5;
const MAX_UNAVAILABLE_FAILURES = 20;

/** Error codes of a full disk or quota. */
const DISK_FULL_CODES = ['ENOSPC', 'EDQUOT'];

const failuresOf = (details: unknown): Failures => (details as { readonly failures?: Failures } | undefined)?.failures ?? {};

/** The kind and limit of an error that is counted; undefined: the error itself decides about retries. */
function kindOf(error: unknown): { readonly kind: string; readonly limit: number } | undefined {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return undefined;
  if (error instanceof BackspinError)
    return error.type === 'Down' || error.type === 'Overloaded' ? { kind: error.type, limit: MAX_UNAVAILABLE_FAILURES } : undefined;
  const { name = 'Error', code } = Object(error) as Partial<NodeJS.ErrnoException>;
  return DISK_FULL_CODES.includes(code!) ? undefined : { kind: `${name} ${code ?? ''}`.trim(), limit: MAX_UNKNOWN_FAILURES };
}

/** Converts an error for workflows. `last`: Temporal does not retry it. */
export function toFailure(error: unknown, last = false): Error {
  if (!(error instanceof Error)) return toFailure(new Error(String(error)), last);
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (error instanceof BackspinError) {
    return ApplicationFailure.create({ type: error.type, message: error.message.slice(0, 2000), nonRetryable: last || !error.retryable });
  }
  if (DISK_FULL_CODES.includes((error as NodeJS.ErrnoException).code!)) {
    return ApplicationFailure.create({
      type: 'DiskFull',
      message: 'The disk is full: free some space and the step goes on by itself.',
      nonRetryable: false,
    });
  }
  // Unknown: a bug or a transient failure. Temporal retries it a few times, then the step needs your attention.
  return ApplicationFailure.create({
    type: error.name,
    message: error.message.slice(0, 2000),
    details: [String(error.stack).slice(0, 1500)],
    nonRetryable: last,
  });
}
