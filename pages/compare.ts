/** Two experiments compared. */
import { html } from 'hono/html';
import type { Comparison } from '../experiments/comparison.ts';
import { number } from '../schemas/units.ts';
import { experimentAt, link, page, plain, recordsAt, shown, table, type Html, type Part } from './layout.ts';
import { recordTable } from './records.ts';

export function comparePage(comparison: Comparison): Html {
  const { a, b } = comparison;
  const links = html`<p class="tabs"><a href="${experimentAt(a)}">${plain(a)}</a> <a href="${experimentAt(b)}">${plain(b)}</a></p>`;
  return page(`${a} and ${b}`, [], html`${links} ${comparisonPart(comparison, true)}`);
}

/** `linked`: whether other pages can be followed to. */
export function comparisonPart({ a, b, configuration, parting, steps, metrics, records }: Comparison, linked: boolean): Html {
  const lines = (all: readonly string[]) =>
    html`<ul>
      ${all.map((line) => html`<li><code>${shown(line)}</code></li>`)}
    </ul>`;
  const numbers = metrics.map(({ metric, arm, round, a: before, b: after }) => {
    const difference = before === null || after === null ? '' : `${after > before ? '+' : ''}${(after - before).toFixed(3)}`;
    return [plain(metric), arm ?? '', round === 0 ? 'start' : `${round}`, before ?? '', after ?? '', difference];
  });
  return html`<h2>Configuration</h2>
    ${configuration.length === 0 ? html`<p>Both have the same.</p>` : lines(configuration)}
    <h2>Where they part</h2>
    <p>
      ${number(steps.shared)} of ${number(steps.both)} steps that both have are the same step, with one
      result.${onlyIn(a, steps.onlyA)}${onlyIn(b, steps.onlyB)}
    </p>
    ${
      parting === null
        ? html`<p>No step of both differs.</p>`
        : html`<p>The first that differs is <code>${shown(parting.path)}</code>:</p>
            ${lines(parting.why)}`
    }
    ${
      numbers.length === 0
        ? ''
        : html`<h2>Measured</h2>
            ${table(['number', 'arm', 'round', plain(a), plain(b), 'difference'], numbers)}`
    }
    ${records.map(
      ({ path, beside }) =>
        html`<h2>Records of ${plain(path)}</h2>
          <p>${number(beside.common)} are in both.</p>
          <div class="beside">
            ${beside.sides.map(
              ({ rows, only, fields }, side) =>
                html`<section>
                  <h3>${link(linked ? recordsAt(side === 0 ? a : b, path) : null, plain(side === 0 ? a : b))}</h3>
                  <p class="soft">${number(rows)} records, ${number(only.total)} only here</p>
                  ${recordTable(linked ? (side === 0 ? a : b) : null, fields, only.rows)}
                </section>`,
            )}
          </div>`,
    )}`;
}

const onlyIn = (name: string, paths: readonly string[]): Part =>
  paths.length === 0 ? '' : ` Only ${plain(name)} has ${paths.slice(0, 8).map(plain).join(', ')}${paths.length > 8 ? ', …' : ''}.`;
