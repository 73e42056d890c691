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

/** The curve of an output: a dataset with a record for each step in order. It has times, so no two are the same. */
export async function putCurve(store: Store, steps: readonly Measured[]): Promise<Pick<Output, 'curve'>> {
  const points = steps.map(({ v: _, event: __, ...point }): CurvePoint => point);
  const last = points.at(-1);
  if (!last) return {};
  const writer = store.write(CURVE);
  try {
    for (const point of points) await writer.add({ id: recordId(point, []), from: [], value: point });
    const best = bestOf(points);
    return { curve: { records: await writer.commit('timing'), last, ...(best && { best }) } };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
