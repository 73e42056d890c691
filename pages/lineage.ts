/** The lineage of an experiment as a graph: steps from left to right, and whose results they used. */
import { html } from 'hono/html';
import type { Lineage, LineageNode } from '../experiments/lineage.ts';
import { experimentAt, page, picture, plain, recordsAt, type Html } from './layout.ts';

const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [170, 26, 44, 12];

export function lineagePage(experiment: string, lineage: Lineage): Html {
  const body = html`<p class="soft">
      Steps from left to right, after those whose results they used. Blue: trainings; green: evaluations. Follow a step to its records.
    </p>
    <div class="wide">${picture(graph(experiment, lineage))}</div>`;
  return page('Lineage', [[experiment, experimentAt(experiment)]], body);
}

interface Placed extends LineageNode {
  readonly x: number;
  readonly y: number;
}

/** Each column has the steps of one depth, near those that they used. */
function graph(experiment: string, { nodes, edges }: Lineage): string {
  const placed = new Map<string, Placed>();
  const columns = [...Map.groupBy(nodes, ({ depth }) => depth)].toSorted(([a], [b]) => a - b);
  for (const [depth, column] of columns) {
    const wanted = column.map((node) => {
      const above = edges.filter(({ to }) => to === node.path).flatMap(({ from }) => placed.get(from)?.y ?? []);
      return { node, y: above.length === 0 ? 0 : above.reduce((sum, y) => sum + y, 0) / above.length };
    });
    let lowest = 0;
    for (const { node, y } of wanted.toSorted((one, other) => one.y - other.y)) {
      const at = Math.max(lowest, y);
      placed.set(node.path, { ...node, x: depth * (WIDTH + GAP_X), y: at });
      lowest = at + HEIGHT + GAP_Y;
    }
  }
  const all = [...placed.values()];
  const [width, height] = [Math.max(0, ...all.map(({ x }) => x)) + WIDTH + 2, Math.max(0, ...all.map(({ y }) => y)) + HEIGHT + 2];
  const lines = edges.flatMap(({ from, to }) => {
    const [a, b] = [placed.get(from), placed.get(to)];
    if (!a || !b) return [];
    const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x, b.y + HEIGHT / 2];
    const bend = Math.max(30, Math.abs(x2 - x1) / 2);
    return [`<path d="M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}"/>`];
  });
  const boxes = all.map(({ path, kind, x, y }) => {
    const name = path.length > 24 ? `…${path.slice(-23)}` : path;
    return (
      `<a href="${escaped(recordsAt(experiment, path))}"><g class="${kind}" transform="translate(${x},${y})"><title>${escaped(plain(path))}</title>` +
      `<rect width="${WIDTH}" height="${HEIGHT}" rx="4"/><text x="8" y="17">${escaped(plain(name))}</text></g></a>`
    );
  });
  return (
    `<svg class="lineage" xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 ${width} ${height}" width="${width}" height="${height}"` +
    ` role="img" aria-label="lineage">${lines.join('')}${boxes.join('')}</svg>`
  );
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
