/**
 * What every activity shares: it beats from a wall clock that covers every await, a cancellation comes out as one whatever the
 * library underneath made of it, and errors carry a type that workflows react to.
 */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { BackspinError } from '../schemas/errors.ts';
import type { ActivityHandle } from '../steps/services.ts';

/** Milliseconds between beats; the SDK throttles them to what the heartbeat timeout asks for. */
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
    if (!counted) throw failure(error);
    const times = (failures[counted.kind] ?? 0) + 1;
    failures = Object.fromEntries([...Object.entries(failures), [counted.kind, times] as const].slice(-KINDS));
    beat(); // the next attempt is given it
    throw failure(error, times >= counted.limit);
  } finally {
    clearInterval(timer);
  }
}

/** Failures of an activity, by kind, in all attempts: deaths of workers and hand-overs are none. */
type Failures = Readonly<Record<string, number>>;
/** Kinds that are counted at once: heartbeats are short. */
const KINDS = 8;
/** Failures of one kind after which a person looks at it: of a kind that nobody thought of, and of a server that is healthy and answers
 *  nobody (10 minutes, about). */
const UNKNOWN = 5;
const UNANSWERED = 20;

/** Codes of a disk, and of a quota, that is full. */
const FULL = ['ENOSPC', 'EDQUOT'];

const failuresOf = (details: unknown): Failures => (details as { readonly failures?: Failures } | undefined)?.failures ?? {};

/** What is counted of an error; undefined: it says by itself whether it is tried again. */
function kindOf(error: unknown): { readonly kind: string; readonly limit: number } | undefined {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return undefined;
  if (error instanceof BackspinError)
    return error.type === 'Down' || error.type === 'Overloaded' ? { kind: error.type, limit: UNANSWERED } : undefined;
  const { name = 'Error', code } = Object(error) as Partial<NodeJS.ErrnoException>;
  return FULL.includes(code!) ? undefined : { kind: `${name} ${code ?? ''}`.trim(), limit: UNKNOWN };
}

/** The failure that a workflow reacts to. `last`: it is not tried again. */
export function failure(error: unknown, last = false): Error {
  if (!(error instanceof Error)) return failure(new Error(String(error)), last);
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (error instanceof BackspinError) {
    return ApplicationFailure.create({ type: error.type, message: error.message.slice(0, 2000), nonRetryable: last || !error.retryable });
  }
  if (FULL.includes((error as NodeJS.ErrnoException).code!)) {
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
    nonRetryable: last,
  });
}
