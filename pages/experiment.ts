/** The page of one experiment: what was measured, and a funnel of records with the rounds as columns. */
import { html } from 'hono/html';
import { duration, number } from '../schemas/units.ts';
import { metricCells, type MetricCell } from '../experiments/intervals.ts';
import type { StepView, View } from '../experiments/view.ts';
import { curve } from './charts.ts';
import { reviewAt } from './review.ts';
import { experimentAt, link, page, picture, plain, recordsAt, shown, table, type Html, type Part } from './layout.ts';

export function experimentPage(view: View, stale: string | null, temporal: string | null): Html {
  const { experiment, recipe, state, round, failure, attention, notices, parent, result } = view;
  const waits = attention.map(({ path, reason, remedy }) => `${path} waits: ${reason.replace(/\.$/, '')}. ${remedy}`);
  const notes = [
    ...(failure === null ? [] : [`It failed: ${failure}`]),
    ...waits,
    ...notices,
    ...(stale === null ? [] : [`Note: ${stale}.`]),
  ];
  const links = [
    html`<a href="${experimentAt(experiment, '/lineage')}">Lineage</a>`,
    html`<a href="${experimentAt(experiment, '/config')}">Configuration</a>`,
    ...(temporal === null ? [] : [html`<a href="${temporal}">In the Temporal UI</a>`]),
    ...attention.flatMap(({ path, records }) =>
      records ? [html`<a href="${reviewAt(experiment, { step: path })}">Review the records of ${plain(path)}</a>`] : [],
    ),
    ...(parent === null ? [] : [html`<a href="${experimentAt(parent.name)}">Fork of ${plain(parent.name)}, round ${parent.round}</a>`]),
  ];
  const about = html`<p>
      <span class="state ${state}">${state}</span> · recipe
      ${recipe}${round === null ? '' : ` · round ${round}`}${result === null ? '' : ' · has a result'}
    </p>
    <p class="tabs">${links}</p>`;
  return page(experiment, [], html`${about} ${metricsOf(view)} ${roundsOf(view)}`, notes);
}

/** One table of numbers, and a curve for each number of several rounds. */
export function metricsOf(view: Pick<View, 'metrics' | 'steps'>): Part {
  const cells = metricCells(view);
  if (cells.length === 0) return '';
  const rounds = [...new Set(cells.map((cell) => cell.round))].toSorted((a, b) => a - b);
  const lines = Map.groupBy(cells, ({ metric, arm }) => JSON.stringify([metric, arm]));
  const rows = [...lines.values()].map((line) => {
    const [first] = line;
    const of = (round: number) => line.find((cell) => cell.round === round);
    return [plain(first!.metric), first!.arm ?? '', ...rounds.map((round) => metricCell(of(round)))];
  });
  const head = ['number', 'arm', ...rounds.map((round) => (round === 0 ? 'start' : `round ${round}`))];
  const caption =
    'What evaluations measured. In brackets, for a number that is a share of n items as far as one can see: its 95 % interval (Wilson), or the interval that the suite gives. With ±: one standard deviation over repeated trainings.';
  const curves = [...Map.groupBy(cells, ({ metric }) => metric)].filter(([, line]) => new Set(line.map(({ round }) => round)).size > 1);
  return html`<h2>Measured</h2>
    ${table(head, rows, caption)}
    <div class="tabs">
      ${curves.map(
        ([metric, line]) =>
          html`<figure>
            <figcaption><b>${plain(metric)}</b> by round${captionOf(line)}</figcaption>
            ${picture(curve(metric, line))}
          </figure>`,
      )}
    </div>`;
}

/** What the lines of a curve mean. */
function captionOf(line: readonly MetricCell[]): string {
  const kinds = new Set(line.map(({ interval }) => interval?.kind));
  const upright =
    kinds.has('share') || kinds.has('own')
      ? ' An upright line is the 95 % interval.'
      : kinds.has('seeds')
        ? ' An upright line is ± one standard deviation.'
        : '';
  const start = line.some(({ round }) => round === 0) ? ' (0: before the first)' : '';
  const arms = new Set(line.map(({ arm }) => arm)).size > 1 ? ', a line for each arm' : '';
  return `${start}${arms}.${upright}`;
}

function metricCell(cell: MetricCell | undefined): Part {
  if (!cell) return '';
  const { value, interval } = cell;
  const short = (x: number) => (Number.isInteger(x) ? number(x) : x.toFixed(3));
  if (!interval) return html`<span class="number">${short(value)}</span>`;
  const around =
    interval.kind === 'seeds'
      ? `± ${short(interval.high - value)}`
      : `(${short(interval.low)} to ${short(interval.high)}${interval.of === null ? '' : `, n ${number(interval.of)}`})`;
  return html`${short(value)} <span class="soft">${around}</span>`;
}

/** Steps as rows, rounds as columns. `linked`: whether a number leads to its records. */
export function roundsOf({ experiment, steps }: Pick<View, 'experiment' | 'steps'>, linked = true): Part {
  const rounds = [...new Set(steps.map(({ round }) => round ?? 0))].toSorted((a, b) => a - b);
  const lines = Map.groupBy(steps, ({ name, arm }) => JSON.stringify([name, arm]));
  const rows = [...lines.values()].map((line) => {
    const { name, arm, kind } = line[0]!;
    const cellOf = (round: number) =>
      line.filter((step) => (step.round ?? 0) === round).map((step) => stepCell(linked ? experiment : null, step));
    return [
      html`${plain(name)}${arm === null ? '' : html`<br /><span class="soft">arm ${plain(arm)}</span>`}`,
      html`<span class="soft">${kind}</span>`,
      ...rounds.map((round) => html`<div class="cell">${cellOf(round)}</div>`),
      linked ? besideLink(experiment, line) : '',
    ];
  });
  const head = ['step', '', ...rounds.map((round) => (round === 0 ? 'start' : `round ${round}`)), ''];
  const caption = html`Records <span class="kept">kept</span> and <span class="dropped">dropped</span>, by step and round, with the time of
    work. A bar is all that entered the step; below it stands how many were dropped for which
    reason.${linked ? ' Follow a number to see its records.' : ''}`;
  return html`<h2>Steps</h2>
    ${table(head, rows, caption)}`;
}

function besideLink(experiment: string, line: readonly StepView[]): Part {
  const [before, last] = line.filter(({ output }) => output !== null && output.rows !== null).slice(-2);
  if (!before || !last) return '';
  return html`<a href="${experimentAt(experiment, `/beside?${new URLSearchParams({ a: before.path, b: last.path }).toString()}`)}"
    >side by side</a
  >`;
}

function stepCell(experiment: string | null, step: StepView): Html {
  const { path, state, kept, in: entered, dropped, kind, output, outputs, seconds, cached } = step;
  if (state !== 'completed') return html`<span class="state ${state}">${state}</span>`;
  const hasRecords = [output, ...Object.values(outputs ?? {})].some((one) => one !== null && one.rows !== null) || kind === 'evaluate';
  const gone = Object.entries(dropped).toSorted(([, a], [, b]) => b - a);
  const time = cached ? 'cached' : seconds === null ? '' : duration(seconds);
  const isModel = kind === 'reduce' && output !== null && output.rows === null; // an imported one
  const counts = isModel
    ? 'a model'
    : kind === 'train'
      ? `${number(kept ?? 0)} rows`
      : kind === 'evaluate'
        ? 'numbers'
        : `${number(kept ?? 0)} kept`;
  const to = (rest = {}) => (experiment === null ? null : recordsAt(experiment, path, rest));
  return html`${hasRecords ? link(to(), counts, 'kept') : counts}
    <span class="soft">${time}</span>
    ${kind === 'evaluate' || isModel || !entered ? '' : funnel(kept ?? 0, entered)}
    ${gone.map(
      ([reason, count]) => html`<div>${link(to({ table: 'dropped', reason }), html`${number(count)} ${shown(reason)}`, 'dropped')}</div>`,
    )}`;
}

function funnel(kept: number, entered: number): Html {
  const share = entered === 0 ? 0 : Math.min(1, kept / entered) * 100;
  return picture(
    `<svg class="funnel" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="${kept} of ${entered} kept">` +
      `<rect class="kept" width="${share}" height="8"/><rect class="dropped" x="${share}" width="${100 - share}" height="8"/></svg>`,
  );
}
