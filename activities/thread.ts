/** Entry point of a thread of `Threads`: runs one computation at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { BackspinError } from '../schemas/errors.ts';
import { stepsOf } from '../steps/work.ts';
import { openServices } from '../steps/services.ts';
import type { Computation, Ended, ThreadContext } from './threads.ts';

const { home, ...options } = workerData as ThreadContext;
const steps = stepsOf(await openServices(home, options));
/** To cancel a computation its thread is terminated, so the signal never aborts. */
const beat = { signal: new AbortController().signal, heartbeat: () => {} };

parentPort!.on('message', (asked: Computation) => {
  const made = asked.verb === 'compute' ? steps.compute(...asked.args, beat) : steps.commit(...asked.args);
  made.then(
    (entry) => parentPort!.postMessage({ entry } satisfies Ended),
    (error: unknown) => parentPort!.postMessage({ failed: failureIn(error) } satisfies Ended),
  );
});

/** Errors lose their class and own properties between threads. */
function failureIn(error: unknown): Extract<Ended, { failed: object }>['failed'] {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack, code } = error as NodeJS.ErrnoException;
  return { name, message, ...(stack && { stack }), ...(code && { code }), ...(error instanceof BackspinError && { type: error.type }) };
}
