/** What was measured of an experiment, by round and arm. */
import { isRef } from '../recipe/call.ts';
import type { Step } from '../schemas/experiment.ts';

export interface Measured {
  readonly round: number;
  readonly arm: string | null;
  readonly [metric: string]: number | string | null;
}

/** One object for each round and arm. What is measured outside the rounds stands at round 0; a number that two suites give keeps
 *  its name for the first and is `step.number` of the second. */
export function measured(steps: readonly Step[]): Measured[] {
  const groups = new Map<string, Record<string, number | string | null>>();
  for (const { kind, round, arm, name, result } of steps) {
    if (kind !== 'evaluate' || result === null || !isRef(result) || result.kind !== 'report') continue;
    const key = JSON.stringify([round ?? 0, arm]);
    const group = groups.get(key) ?? { round: round ?? 0, arm };
    for (const [metric, value] of Object.entries(result.metrics)) group[metric in group ? `${name}.${metric}` : metric] = value;
    groups.set(key, group);
  }
  return ([...groups.values()] as Measured[]).toSorted((a, b) => a.round - b.round || (a.arm ?? '').localeCompare(b.arm ?? '', 'en'));
}

/** The names of the numbers, in the order in which they came up. */
export const metricNames = (rows: readonly Measured[]): string[] =>
  [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key !== 'round' && key !== 'arm');
