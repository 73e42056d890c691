/** Milliseconds for which a loop over data in memory may block the event loop. */
const MAX_BLOCKED = 20;

/** Returns a function to call in each iteration of a loop. Now and then it returns a promise; await it to let timers and I/O run. Awaiting
 *  settled promises never lets them run. */
export function turns(): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < MAX_BLOCKED) return undefined;
    return new Promise((next) =>
      setImmediate(() => {
        since = performance.now();
        next();
      }),
    );
  };
}
