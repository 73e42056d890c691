/** Draws the histogram in the report of a judge check. */
import type { Metrics } from '../../recipe/index.ts';
import { table } from './text.ts';

const WIDTH = 20;

/** Bars of the scores of real and of shuffled pairs; '' for another report. */
export function formatScores(metrics: Metrics): string {
  const { low, high } = metrics;
  if (low === undefined || high === undefined || !('real1' in metrics || 'shuffled1' in metrics)) return '';
  const bins = Array.from({ length: 10 }, (_, bin) => bin + 1).filter((bin) => high > low || bin === 1);
  const shares = (bin: number) => ['real', 'shuffled'].map((kind) => metrics[`${kind}${bin}`] ?? 0);
  const most = Math.max(...bins.flatMap(shares), Number.EPSILON);
  const bar = (share: number) => `${'█'.repeat(Math.round((WIDTH * share) / most))} ${(100 * share).toFixed(0)} %`.trim();
  const edge = (bin: number) => (low + ((high - low) * bin) / 10).toPrecision(3);
  return table(
    ['score from', 'real', 'shuffled'],
    bins.map((bin) => [edge(bin - 1), ...shares(bin).map(bar)]),
  );
}
