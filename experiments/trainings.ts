/** The curves of an experiment's trainings, thin enough to be drawn. */
import type { CurvePoint, Output } from '../schemas/store.ts';
import type { Step } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';

export interface Training {
  readonly path: string;
  readonly name: string;
  readonly arm: string | null;
  readonly round: number | null;
  /** Optimizer steps that the training had in all. */
  readonly steps: number;
  readonly points: readonly CurvePoint[];
  /** Optimizer steps at which the loss jumped. */
  readonly spikes: readonly number[];
}

const MOST_POINTS = 300;

/** Each training once, whichever rounds and arms share it. At most 300 points of each: beside those at equal distances all with a
 *  validation loss, and all jumps. */
export async function trainingsOf(store: Store, ended: readonly { readonly step: Step; readonly output: Output }[]): Promise<Training[]> {
  const trainings = new Map<string, Training>();
  for (const { step, output } of ended) {
    const { curve, stepKey } = output;
    if (!curve || trainings.has(stepKey) || !(await store.has(curve.records))) continue;
    const { last, spikes = [] } = curve;
    const distance = Math.ceil(curve.records.rows / MOST_POINTS);
    const points: CurvePoint[] = [];
    let place = 0;
    for await (const { value } of store.read(curve.records)) {
      const point = value as CurvePoint;
      const isNamed = typeof point.validationLoss === 'number' || spikes.includes(point.step) || point.step === last.step;
      if (place++ % distance === 0 || isNamed) points.push(point);
    }
    const { path, name, arm, round } = step;
    trainings.set(stepKey, { path, name, arm, round, steps: last.step, points, spikes });
  }
  return [...trainings.values()];
}
