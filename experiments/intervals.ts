/** The metrics of an experiment with intervals, where something is known of their spread. */
import { metricNames } from '../workflows/measured.ts';
import { wilson } from '../schemas/precision.ts';
import type { View } from './view.ts';

export interface MetricCell {
  readonly metric: string;
  readonly arm: string | null;
  readonly round: number;
  readonly value: number;
  /** `share`: a 95 % interval of a share of `of` items, by Wilson's score. `seeds`: mean minus and plus the standard deviation over repeated
   *  trainings. null: nothing is known. */
  readonly interval: { readonly kind: 'share' | 'seeds'; readonly low: number; readonly high: number; readonly of: number | null } | null;
}

export type Measurements = Pick<View, 'metrics' | 'steps'>;

/** One cell for each number; deviations over repeated trainings become intervals. */
export function metricCells({ metrics, steps }: Measurements): MetricCell[] {
  return metrics.flatMap((row) =>
    metricNames([row]).flatMap((metric) => {
      const value = row[metric];
      if (typeof value !== 'number' || (metric.endsWith('Std') && `${metric.slice(0, -3)}Mean` in row)) return [];
      const deviation = metric.endsWith('Mean') ? row[`${metric.slice(0, -4)}Std`] : undefined;
      const { round, arm } = row;
      if (typeof deviation === 'number')
        return [
          { metric, arm, round, value, interval: { kind: 'seeds' as const, low: value - deviation, high: value + deviation, of: null } },
        ];
      const evaluations = steps.filter((step) => step.kind === 'evaluate' && (step.round ?? 0) === round && step.arm === arm);
      const own = evaluations.filter(
        ({ name, numbers }) => numbers?.includes(metric) || numbers?.some((one) => metric === `${name}.${one}`),
      );
      const sizes = new Set(own.map((step) => step.in));
      const [of] = sizes;
      return [{ metric, arm, round, value, interval: sizes.size === 1 && of ? shareInterval(value, of) : null }];
    }),
  );
}

/** Only for a value that is a whole number of `of` items: other metrics are no shares. */
function shareInterval(value: number, of: number): MetricCell['interval'] {
  const hits = value * of;
  if (value < 0 || value > 1 || Math.abs(hits - Math.round(hits)) > 1e-6) return null;
  return { kind: 'share', ...wilson(value, of), of };
}
