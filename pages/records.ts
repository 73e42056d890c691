/** The records of a step: filters, sorting, pages. */
import { html } from 'hono/html';
import { number } from '../schemas/units.ts';
import type { Row } from '../experiments/tables/duckdb.ts';
import type { Field, Filter, Histogram, Page } from '../experiments/tables/page.ts';
import type { StepTable } from '../experiments/tables/steps.ts';
import type { Threshold } from '../experiments/thresholds.ts';
import { histogram } from './charts.ts';
import { address, link, long, page, picture, plain, recordAt, experimentAt, recordsAt, shown, type Html, type Part } from './layout.ts';

export const PAGE_ROWS = 50;

export interface RecordsView {
  readonly experiment: string;
  readonly step: string;
  readonly operation: string;
  readonly tables: readonly StepTable[];
  readonly table: string;
  readonly filter: Filter;
  readonly found: Page;
  readonly reasons: readonly { readonly reason: string; readonly count: number }[];
  readonly bins: Histogram | undefined;
  /** Of the field that is filtered. */
  readonly thresholds: readonly Threshold[];
  /** Counted from 0. */
  readonly page: number;
  /** The same step in other rounds and arms. */
  readonly others: readonly string[];
}

/** The parameters of the address that show this view. */
const parametersOf = ({ table, filter }: RecordsView) => ({ table: table === 'records' ? undefined : table, ...filter });

export function recordsPage(view: RecordsView): Html {
  const { experiment, step, operation, tables, others } = view;
  const tabs = [
    ...tables.map(({ label, ref }) =>
      tab(recordsAt(experiment, step, { table: label }), `${label} (${number(ref.rows)})`, label === view.table),
    ),
    ...(view.table === 'dropped' ? [] : [html`<a href="${address(experimentAt(experiment, '/review'), { step })}">Review a sample</a>`]),
    ...others.map((path) => tab(recordsAt(experiment, path, parametersOf(view)), path, path === step)),
  ];
  const body = html`<p class="soft">${operation}</p>
    <p class="tabs">${tabs}</p>
    ${filterForm(view)}
    <div id="found">${foundPart(view)}</div>`;
  return page(step, [[experiment, experimentAt(experiment)]], body);
}
const tab = (to: string, name: string, current: boolean) =>
  html`<a href="${to}" ${current ? html`aria-current="page"` : ''}>${plain(name)}</a>`;

function filterForm({ experiment, step, table, filter, found, reasons }: RecordsView): Html {
  const numeric = found.fields.filter((field) => field.numeric);
  const chosen = (is: boolean) => (is ? html`selected` : '');
  const options = (names: readonly string[], current: string | undefined) =>
    names.map((name) => html`<option value="${name}" ${chosen(name === current)}>${plain(name)}</option>`);
  const action = experimentAt(experiment, '/records');
  return html`<form
    class="filter"
    action="${action}"
    hx-get="${action}"
    hx-target="#found"
    hx-push-url="true"
    hx-trigger="change, submit, input delay:500ms"
  >
    <input type="hidden" name="step" value="${step}" /><input type="hidden" name="table" value="${table}" />
    ${
      reasons.length === 0
        ? ''
        : html`<label
            >reason
            <select name="reason">
              <option value="">all</option>
              ${reasons.map(
                ({ reason, count }) =>
                  html`<option value="${reason}" ${chosen(reason === filter.reason)}>${plain(reason)} (${number(count)})</option>`,
              )}
            </select></label
          >`
    }
    <label>text in any field<input type="search" name="text" value="${filter.text ?? ''}" /></label>
    ${
      numeric.length === 0
        ? ''
        : html`<label
              >number<select name="field">
                <option value=""></option>
                ${options(
                  numeric.map((field) => field.name),
                  filter.field,
                )}
              </select></label
            >
            <label>from<input type="number" step="any" name="least" value="${filter.least ?? ''}" /></label>
            <label>to<input type="number" step="any" name="most" value="${filter.most ?? ''}" /></label>`
    }
    <label
      >order<select name="sort">
        <option value="">as stored</option>
        ${found.fields
          .filter((field) => field.name !== 'from' && field.name !== 'id')
          .flatMap(({ name }) => [
            html`<option value="${name}" ${chosen(filter.sort === name)}>${plain(name)} ↑</option>`,
            html`<option value="-${name}" ${chosen(filter.sort === `-${name}`)}>${plain(name)} ↓</option>`,
          ])}
      </select></label
    >
    <button>Filter</button>
  </form>`;
}

/** What a changed filter replaces. */
export function foundPart(view: RecordsView): Html {
  const { experiment, step, found, filter, bins, thresholds } = view;
  const [first, last] = [view.page * PAGE_ROWS, view.page * PAGE_ROWS + found.rows.length];
  const at = (to: number) => recordsAt(experiment, step, { ...parametersOf(view), page: to === 0 ? undefined : to });
  const pages = html`<p class="tabs">
    <span>${found.total === 0 ? 'No record' : `${number(first + 1)} to ${number(last)} of ${number(found.total)} records`}</span>
    ${view.page > 0 ? html`<a href="${at(view.page - 1)}" rel="prev">← before</a>` : ''}
    ${last < found.total ? html`<a href="${at(view.page + 1)}" rel="next">next →</a>` : ''}
  </p>`;
  const chart = bins && filter.field ? html`<figure>${picture(histogram(bins, plain(filter.field), thresholds))}</figure>` : '';
  return html`${chart} ${pages} ${recordTable(experiment, found.fields, found.rows)} ${found.rows.length > 10 ? pages : ''}`;
}

/** `from` is left to the journey; the id leads there, unless `experiment` is null. */
export function recordTable(experiment: string | null, fields: readonly Field[], rows: readonly Row[]): Part {
  if (rows.length === 0) return '';
  const first = ['id', 'reason', 'evidence'].filter((name) => fields.some((field) => field.name === name));
  const rank = ({ name }: Field) => (first.includes(name) ? first.indexOf(name) : first.length);
  const columns = fields.filter(({ name }) => name !== 'from').toSorted((a, b) => rank(a) - rank(b));
  const cell = ({ name, numeric }: Field, row: Row): Html => {
    const value = row[name];
    if (name === 'id')
      return html`<td class="key">
        ${link(experiment === null ? null : recordAt(experiment, String(value)), String(value).slice(0, 8))}
      </td>`;
    if (value === null || value === undefined) return html`<td></td>`;
    return numeric ? html`<td class="number">${number(value as number)}</td>` : html`<td>${long(value)}</td>`;
  };
  return html`<div class="wide">
    <table class="records">
      <thead>
        <tr>
          ${columns.map(({ name, numeric }) => html`<th scope="col" class="${numeric ? 'number' : ''}">${shown(name)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${columns.map((field) => cell(field, row))}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
