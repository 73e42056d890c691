/** What runs in a thread of `Threads`: one computation at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { BackspinError } from '../schemas/errors.ts';
import { stepsOf } from '../steps/work.ts';
import { openServices } from '../steps/services.ts';
import type { Computation, Ended, ThreadContext } from './threads.ts';

const { home, ...options } = workerData as ThreadContext;
const steps = stepsOf(await openServices(home, options));
/** A computation that is not wanted any more ends with its thread. */
const beat = { signal: new AbortController().signal, heartbeat: () => {} };

parentPort!.on('message', (asked: Computation) => {
  const made = asked.verb === 'compute' ? steps.compute(...asked.args, beat) : steps.commit(...asked.args);
  made.then(
    (entry) => parentPort!.postMessage({ entry } satisfies Ended),
    (error: unknown) => parentPort!.postMessage({ failed: failureIn(error) } satisfies Ended),
  );
});

/** Between threads an error keeps neither its class nor what it has of its own. */
function failureIn(error: unknown): Extract<Ended, { failed: object }>['failed'] {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack, code } = error as NodeJS.ErrnoException;
  return { name, message, ...(stack && { stack }), ...(code && { code }), ...(error instanceof BackspinError && { type: error.type }) };
}
