/** Stores what a training measured at each of its optimizer steps, beside its model. */
import { recordId } from '../schemas/canonical.ts';
import type { CurvePoint, Output } from '../schemas/store.ts';
import type { Measured } from '../schemas/trainer.ts';
import type { Store } from '../store/store.ts';

const CURVE = 'backspin/curve@1';

/** The first point with the lowest validation loss; undefined if none was measured. */
export const bestOf = <Point extends { readonly validationLoss?: number }>(points: readonly Point[]): Point | undefined =>
  points.reduce<Point | undefined>(
    (best, point) => ((point.validationLoss ?? Infinity) < (best?.validationLoss ?? Infinity) ? point : best),
    undefined,
  );

/** Steps before a loss by which it is judged, and the fewest that tell. */
const WINDOW = 50;
const FEWEST = 20;
/** Standard deviations above the mean of the steps before. */
const SPIKE = 6;
/** Of the mean: on a flat curve noise is no spike. */
const LEAST_DEVIATION = 0.02;

/** Notices losses that jump: by more than six standard deviations above the mean of the 50 steps before. */
export class SpikeDetector {
  #before: number[] = [];
  /** The steps whose loss jumped. */
  readonly steps: number[] = [];

  add(step: number, loss: number): void {
    const before = this.#before;
    const mean = before.reduce((sum, one) => sum + one, 0) / before.length;
    const deviation = Math.sqrt(before.reduce((sum, one) => sum + (one - mean) ** 2, 0) / before.length);
    if (before.length >= FEWEST && loss > mean + SPIKE * Math.max(deviation, LEAST_DEVIATION * Math.abs(mean))) this.steps.push(step);
    this.#before = [...before.slice(1 - WINDOW), loss];
  }
}

function spikesOf(points: readonly CurvePoint[]): SpikeDetector {
  const detector = new SpikeDetector();
  for (const { step, loss } of points) detector.add(step, loss);
  return detector;
}
/** The most that an output names. */
const MAX_SPIKES = 20;

/** The curve of an output: a dataset with a record for each step in order. It has times, so no two are the same. */
export async function putCurve(store: Store, steps: readonly Measured[]): Promise<Pick<Output, 'curve'>> {
  const points = steps.map(({ v: _, event: __, ...point }): CurvePoint => point);
  const last = points.at(-1);
  if (!last) return {};
  const writer = store.write(CURVE);
  try {
    for (const point of points) await writer.add({ id: recordId(point, []), from: [], value: point });
    const best = bestOf(points);
    const { steps: spikes } = spikesOf(points);
    const records = await writer.commit('timing');
    return { curve: { records, last, ...(best && { best }), ...(spikes.length > 0 && { spikes: spikes.slice(-MAX_SPIKES) }) } };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
