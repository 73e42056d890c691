/** Named moments in the life of a batch, at which a test can end or hold what runs. Without a test they cost a comparison. */

/** In the order in which a map comes to them. */
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

/** A promise only where a test holds what runs: await it. Throws, or rejects, as the test does. */
export const triggerPoint = (point: Point): Promise<void> | void => reached?.(point);

/** Has `then` called at every point of this process; undefined: nobody is any more. */
export function atPoints(then: typeof reached): void {
  reached = then;
}
