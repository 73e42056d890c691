/** What was measured of an experiment, by round and arm. */
import { isRef } from '../schemas/call.ts';
import type { Step } from '../schemas/experiment.ts';

/** The reducer that measures a judge. */
const JUDGE_CHECK = 'std.separation';
/** Most checks that a notice names. */
const MAX_NAMED = 3;

export interface Measured {
  readonly round: number;
  readonly arm: string | null;
  readonly [metric: string]: number | string | null;
}

/** One object for each round and arm: what evaluations measured, and the mean and deviation of such. What is measured outside the rounds stands at round 0. A number is `evaluation.number`, all over the
 *  table, where its name alone does not say what it was measured of: evaluations of other names give it too, by another suite or of the
 *  same round and arm. */
export function measured(steps: readonly Step[]): Measured[] {
  const reports = steps.flatMap(({ kind, round, arm, name, operation, result }) =>
    (kind === 'evaluate' || operation === 'std.spread' || operation === JUDGE_CHECK) &&
    result !== null &&
    isRef(result) &&
    result.kind === 'report'
      ? [
          {
            round: round ?? 0,
            arm,
            name,
            what: operation,
            metrics: operation === JUDGE_CHECK ? { auc: result.metrics['auc']! } : result.metrics,
          },
        ]
      : [],
  );
  const vague = (metric: string) => {
    const giving = reports.filter(({ metrics }) => metric in metrics);
    return giving.some((one) =>
      giving.some((other) => one.name !== other.name && (one.what !== other.what || (one.round === other.round && one.arm === other.arm))),
    );
  };
  const vagueOnes = new Set([...new Set(reports.flatMap(({ metrics }) => Object.keys(metrics)))].filter(vague));
  const groups = new Map<string, Record<string, number | string | null>>();
  for (const { round, arm, name, metrics } of reports) {
    const key = JSON.stringify([round, arm]);
    const group = groups.get(key) ?? { round, arm };
    for (const [metric, value] of Object.entries(metrics)) group[vagueOnes.has(metric) ? `${name}.${metric}` : metric] = value;
    groups.set(key, group);
  }
  return ([...groups.values()] as Measured[]).toSorted((a, b) => a.round - b.round || (a.arm ?? '').localeCompare(b.arm ?? '', 'en'));
}

/** The names of the numbers, in an order that does not hang on which evaluation ended first. */
export const metricNames = (rows: readonly Measured[]): string[] =>
  [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key !== 'round' && key !== 'arm').toSorted();

/** A notice about judges that hardly know real pairs from shuffled ones: the last of them. */
export function weakJudges(steps: readonly Step[]): string[] {
  const weak = steps.flatMap(({ path, operation, result }) => {
    if (operation !== JUDGE_CHECK || result === null || !isRef(result) || result.kind !== 'report') return [];
    const { auc = 0.5, minAuc = 0 } = result.metrics;
    return auc < minAuc ? [`${path}: ${auc.toFixed(2)}, wanted ${minAuc}`] : [];
  });
  if (weak.length === 0) return [];
  return [
    `A judge hardly tells real pairs from shuffled ones, and its choice may be chance: AUC (0.5 is chance) of ${weak.slice(-MAX_NAMED).join('; ')}. Use a stronger model or another way to judge; \`backspin show\` prints its scores.`,
  ];
}
