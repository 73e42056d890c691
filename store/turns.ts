/** Milliseconds for which a loop over what is in memory may hold the event loop. */
const HELD = 20;

/** Gives a function to call in each turn of a loop: now and then it gives a promise, after which timers and others have had their turn. Awaits
 *  of what is there already never let them. */
export function turns(): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < HELD) return undefined;
    return new Promise((next) =>
      setImmediate(() => {
        since = performance.now();
        next();
      }),
    );
  };
}
