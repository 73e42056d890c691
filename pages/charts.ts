/** Charts as SVG without inline style, by Observable Plot. */
import { dot, line, plot, rectY, ruleX, ruleY, selectLast, text, type PlotOptions } from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Histogram } from '../experiments/tables/page.ts';
import type { MetricCell } from '../experiments/intervals.ts';

/** A page may hold no style: `.chart` in the style sheet takes the place of Plot's. */
function draw(title: string, options: PlotOptions): string {
  const { document } = parseHTML('<html></html>');
  const svg = plot({ ...options, document, className: 'chart' });
  svg.querySelector('style')?.remove();
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', title);
  return svg.outerHTML;
}

/** How many records have which value of a field. */
export function histogram({ bins }: Histogram, field: string, { width = 420, height = 170 } = {}): string {
  return draw(`distribution of ${field}`, {
    width,
    height,
    x: { label: field },
    y: { label: 'records', grid: true },
    marks: [rectY(bins, { x1: 'from', x2: 'to', y: 'count', fill: 'currentColor', fillOpacity: 0.55, insetLeft: 1 }), ruleY([0])],
  });
}

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
