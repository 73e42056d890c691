/** Charts as SVG without inline style, by Observable Plot. */
import { dot, line, plot, rectY, ruleX, ruleY, selectLast, text, type PlotOptions } from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Histogram } from '../experiments/tables/page.ts';
import type { MetricCell } from '../experiments/intervals.ts';
import type { Threshold } from '../experiments/thresholds.ts';
import type { Training } from '../experiments/trainings.ts';

/** A page may hold no style: `.chart` in the style sheet takes the place of Plot's. */
function draw(title: string, options: PlotOptions): string {
  const { document } = parseHTML('<html></html>');
  const svg = plot({ ...options, document, className: 'chart' });
  svg.querySelector('style')?.remove();
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', title);
  return svg.outerHTML;
}

/** How many records have which value of a field, with a line for each threshold. */
export function histogram(
  { bins }: Histogram,
  field: string,
  thresholds: readonly Pick<Threshold, 'value' | 'keeps'>[] = [],
  { width = 420, height = 170 } = {},
): string {
  const limits = thresholds.map(({ value, keeps }) => {
    const bar = bins.find(({ from, to }) => to - from === 1 && (from + to) / 2 === value); // of a whole number, which stands in its middle
    const label = keeps === 'atLeast' ? `kept: ${shortNumber(value)} or more →` : `← kept: ${shortNumber(value)} or less`;
    return { x: bar ? (keeps === 'atLeast' ? bar.from : bar.to) : value, label };
  });
  return draw(`distribution of ${field}`, {
    width,
    height,
    marginTop: limits.length > 0 ? 32 : 20,
    marginRight: limits.length > 0 ? 110 : 20,
    x: { label: field },
    y: { label: 'records', grid: true },
    marks: [
      rectY(bins, { x1: 'from', x2: 'to', y: 'count', fill: 'currentColor', fillOpacity: 0.55, insetLeft: 1 }),
      ruleY([0]),
      ruleX(limits, { x: 'x', className: 'threshold', stroke: 'currentColor', strokeWidth: 2 }),
      text(limits, {
        x: 'x',
        text: 'label',
        frameAnchor: 'top',
        dy: -10,
        textAnchor: 'start',
        className: 'threshold',
        fill: 'currentColor',
      }),
    ],
  });
}

export const shortNumber = (value: number): string => String(Number(value.toPrecision(4)));

/** A measure of trainings by optimizer step, a panel for each; the validation loss in dashes, jumps of the loss as dots. */
export function trainingCurve(trainings: readonly (Training & { readonly label: string })[], measure: 'loss' | 'gradNorm'): string {
  const pointsOf = (of: 'loss' | 'gradNorm' | 'validationLoss') =>
    trainings.flatMap(({ label, points }) =>
      points.flatMap((point) => (typeof point[of] === 'number' ? [{ label, step: point.step, value: point[of] }] : [])),
    );
  const points = pointsOf(measure);
  const validated = measure === 'loss' ? pointsOf('validationLoss') : [];
  const jumped = measure === 'loss' ? trainings : [];
  const jumps = jumped.flatMap(({ label, spikes }) => points.filter((one) => one.label === label && spikes.includes(one.step)));
  const along = { x: 'step', y: 'value', fx: 'label' };
  return draw(`${names[measure]} by optimizer step`, {
    width: Math.min(1200, Math.max(520, 220 * trainings.length)),
    height: 220,
    fx: { label: null, domain: trainings.map(({ label }) => label), axis: trainings.length > 1 ? 'top' : null },
    x: { label: 'optimizer step', ticks: 4 },
    y: { label: names[measure], grid: true, zero: true },
    marks: [
      ruleY([0]),
      line(points, { ...along, stroke: 'currentColor', strokeWidth: 1 }),
      line(validated, { ...along, className: 'second', stroke: 'currentColor', strokeDasharray: '4 3', strokeWidth: 2 }),
      dot(validated, { ...along, className: 'second', fill: 'currentColor', r: 2.5 }),
      dot(jumps, { ...along, className: 'threshold', fill: 'currentColor', r: 4 }),
    ],
  });
}
const names = { loss: 'loss', gradNorm: 'gradient norm' };

/** A metric by round, a line for each arm, with intervals where there are some. */
export function curve(metric: string, cells: readonly MetricCell[], { width = 420, height = 200 } = {}): string {
  const points = cells.map(({ arm, round, value, interval }) => {
    return { arm: arm ?? 'main', round, value, low: interval?.low, high: interval?.high };
  });
  const values = points.flatMap(({ value, low = value, high = value }) => [low, value, high]);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const ranged = points.filter(({ low }) => low !== undefined);
  const arms = new Set(points.map(({ arm }) => arm));
  return draw(`${metric} by round`, {
    width,
    height,
    color: { legend: false, scheme: 'tableau10' },
    x: {
      label: 'round',
      ticks: [...new Set(points.map(({ round }) => round))],
      tickFormat: (round: number) => `${round}`,
      insetLeft: 10,
      insetRight: 50,
    },
    y: { label: metric, grid: true, nice: true, ...(least === most ? { domain: [least - 0.5, most + 0.5] } : {}) },
    marks: [
      ruleX(ranged, { x: 'round', y1: 'low', y2: 'high', stroke: 'arm', strokeOpacity: 0.5 }),
      line(points, { x: 'round', y: 'value', stroke: 'arm' }),
      dot(points, { x: 'round', y: 'value', fill: 'arm', r: 3 }),
      ...(arms.size > 1
        ? [text(points, selectLast({ x: 'round', y: 'value', z: 'arm', text: 'arm', fill: 'arm', textAnchor: 'start', dx: 7 }))]
        : []),
    ],
  });
}
