/** Named points in the life of a batch at which a test can stop or delay the process. Without a test they cost one comparison. */

/** In the order in which a map reaches them. */
export const points = [
  'open: before its beginning is looked up',
  'open: before its work is given',
  'batch: before its journal is opened',
  'record: after a reply',
  'record: after it is done',
  'batch: before its result',
  'batch: after its result',
  'commit: before the first prefix',
  'commit: before an output',
  'commit: after a prefix',
  'commit: before its work is cleared',
] as const;
export type Point = (typeof points)[number];

let reached: ((point: Point) => Promise<void> | void) | undefined;

/** Returns a promise only if a test delays here: await it. Throws, or rejects, if the test does. */
export const triggerPoint = (point: Point): Promise<void> | void => reached?.(point);

/** Calls `then` at every point of this process; undefined: no longer. */
export function atPoints(then: typeof reached): void {
  reached = then;
}
