/** What a sweep has measured: for each combination, means over its seeds with intervals. */
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { SweepRecord } from '../schemas/sweep.ts';
import { measured, metricNames } from '../workflows/measured.ts';

export interface SweepMean {
  readonly mean: number;
  /** Ends of the 95 % interval by Student's t; null with one experiment. */
  readonly low: number | null;
  readonly high: number | null;
  /** Experiments that have measured it. */
  readonly of: number;
}
export interface SweepRow {
  readonly values: SweepRecord['members'][number]['values'];
  readonly arm: string | null;
  readonly metrics: Readonly<Record<string, SweepMean>>;
}
export interface SweepView {
  readonly sweep: string;
  readonly members: readonly {
    readonly experiment: string;
    readonly values: SweepRow['values'];
    readonly seed: number;
    readonly state: ExperimentRecord['state'] | 'not begun';
    readonly round: number | null;
    /** Seconds on device groups, without what other experiments had computed. */
    readonly deviceSeconds: number;
  }[];
  /** Of the last round that each experiment has measured. */
  readonly rows: readonly SweepRow[];
}

/** `records` of the members that there are; `devices`: seconds on device groups by experiment. */
export function sweepView(
  { name, members }: SweepRecord,
  records: readonly ExperimentRecord[],
  devices: ReadonlyMap<string, number>,
): SweepView {
  const byName = new Map(records.map((record) => [record.name, record]));
  const groups = Map.groupBy(members, ({ values }) => JSON.stringify(values));
  return {
    sweep: name,
    members: members.map((member) => {
      const { state = 'not begun', round = null } = byName.get(member.name) ?? {};
      const deviceSeconds = devices.get(member.name) ?? 0;
      return { experiment: member.name, values: member.values, seed: member.seed, state, round, deviceSeconds } as const;
    }),
    rows: [...groups.values()].flatMap((group) =>
      rowsOf(
        group[0]!.values,
        group.flatMap((member) => byName.get(member.name) ?? []),
      ),
    ),
  };
}

/** A row for each arm. */
function rowsOf(values: SweepRow['values'], records: readonly ExperimentRecord[]): SweepRow[] {
  const last = records.flatMap(({ steps }) => {
    const rows = measured(steps);
    return rows.filter(({ round, arm }) => round === Math.max(...rows.flatMap((row) => (row.arm === arm ? [row.round] : []))));
  });
  const byArm = Map.groupBy(last, ({ arm }) => arm);
  return [...byArm].map(([arm, rows]) => {
    const metrics = metricNames(rows).map((metric) => {
      const found = rows.flatMap((row) => (typeof row[metric] === 'number' ? [row[metric]] : []));
      return [metric, meanOf(found)] as const;
    });
    return { values, arm, metrics: Object.fromEntries(metrics) };
  });
}

/** 97.5 % quantiles of Student's t with 1 to 10 degrees of freedom, and for more the next smaller of 12, 15, 20, 30 and 60. */
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
const T_BEYOND = [
  [60, 2.0],
  [30, 2.042],
  [20, 2.086],
  [15, 2.131],
  [12, 2.179],
  [11, 2.201],
] as const;

export function meanOf(values: readonly number[]): SweepMean {
  const of = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / of;
  if (of < 2) return { mean, low: null, high: null, of };
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (of - 1));
  const t = T[of - 2] ?? T_BEYOND.find(([freedom]) => freedom <= of - 1)![1];
  const half = (t * deviation) / Math.sqrt(of);
  return { mean, low: mean - half, high: mean + half, of };
}
