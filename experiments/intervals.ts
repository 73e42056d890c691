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
   *  trainings. `own`: the 95 % interval that the suite itself gives. null: nothing is known. */
  readonly interval: {
    readonly kind: 'share' | 'seeds' | 'own';
    readonly low: number;
    readonly high: number;
    readonly of: number | null;
  } | null;
}

export type Measurements = Pick<View, 'metrics' | 'steps'>;

/** One cell for each number; deviations over repeated trainings become intervals, and so do `xLow` and `xHigh` of a number x. */
export function metricCells({ metrics, steps }: Measurements): MetricCell[] {
  return metrics.flatMap((row) =>
    metricNames([row]).flatMap((metric) => {
      const value = row[metric];
      if (typeof value !== 'number' || isPartOfAnother(metric, row)) return [];
      const deviation = metric.endsWith('Mean') ? row[`${metric.slice(0, -4)}Std`] : undefined;
      const { round, arm } = row;
      if (typeof deviation === 'number')
        return [
          { metric, arm, round, value, interval: { kind: 'seeds' as const, low: value - deviation, high: value + deviation, of: null } },
        ];
      const [low, high] = [row[`${metric}Low`], row[`${metric}High`]];
      if (typeof low === 'number' && typeof high === 'number')
        return [{ metric, arm, round, value, interval: { kind: 'own' as const, low, high, of: null } }];
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

/** Whether it is the deviation of a mean, or an end of an interval. */
function isPartOfAnother(metric: string, row: Measurements['metrics'][number]): boolean {
  const [, of, part] = /^(.+)(Std|Low|High)$/.exec(metric) ?? [];
  if (of === undefined) return false;
  return part === 'Std' ? `${of}Mean` in row : of in row && `${of}Low` in row && `${of}High` in row;
}

/** Only for a value that is a whole number of `of` items: other metrics are no shares. */
function shareInterval(value: number, of: number): MetricCell['interval'] {
  const hits = value * of;
  if (value < 0 || value > 1 || Math.abs(hits - Math.round(hits)) > 1e-6) return null;
  return { kind: 'share', ...wilson(value, of), of };
}
