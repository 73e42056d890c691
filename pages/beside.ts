/** Two steps side by side, such as the same one in two rounds or arms: records of both, and those of one alone. */
import { html } from 'hono/html';
import type { Beside } from '../experiments/beside.ts';
import { number } from '../schemas/units.ts';
import { experimentAt, page, plain, recordsAt, table, type Html } from './layout.ts';
import { recordTable } from './records.ts';

export function besidePage(experiment: string, steps: readonly string[], { sides, common }: Beside): Html {
  const [a, b] = sides;
  const choose = (field: string, current: string) =>
    html`<label
      >${field}<select name="${field}">
        ${steps.map((path) => html`<option value="${path}" ${path === current ? html`selected` : ''}>${plain(path)}</option>`)}
      </select></label
    >`;
  const form = html`<form class="filter" action="${experimentAt(experiment, '/beside')}">
    ${choose('a', a.path)} ${choose('b', b.path)} <button>Show</button>
  </form>`;
  const counts = table(
    ['', 'records', 'only here'],
    sides.map(({ path, rows, only }) => [html`<a href="${recordsAt(experiment, path)}">${plain(path)}</a>`, rows, only.total]),
    `${number(common)} records are in both.`,
  );
  const columns = sides.map(
    ({ path, only, fields }) =>
      html`<section>
        <h2>Only in ${plain(path)}</h2>
        <p class="soft">${number(only.rows.length)} of ${number(only.total)}</p>
        ${recordTable(experiment, fields, only.rows)}
      </section>`,
  );
  return page(
    `${a.path} and ${b.path}`,
    [[experiment, experimentAt(experiment)]],
    html`${form} ${counts}
      <div class="beside">${columns}</div>`,
  );
}
