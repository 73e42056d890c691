/** Stores what a training measured at each of its optimizer steps, beside its model. */
import { recordId } from '../schemas/canonical.ts';
import type { CurvePoint, Output } from '../schemas/store.ts';
import type { StepEvent } from '../schemas/trainer.ts';
import type { Store } from '../store/store.ts';

const CURVE = 'backspin/curve@1';

/** The curve of an output: a dataset with a record for each step in order. It has times, so no two are the same. */
export async function putCurve(store: Store, steps: readonly StepEvent[]): Promise<Pick<Output, 'curve'>> {
  const points = steps.map(({ v: _, event: __, ...point }): CurvePoint => point);
  const last = points.at(-1);
  if (!last) return {};
  const writer = store.write(CURVE);
  try {
    for (const point of points) await writer.add({ id: recordId(point, []), from: [], value: point });
    return { curve: { records: await writer.commit('timing'), last } };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
