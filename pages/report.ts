/** A report: one HTML file that needs no network and no script. */
import { html, raw } from 'hono/html';
import { stringify } from 'yaml';
import type { Comparison } from '../experiments/comparison.ts';
import { moneyText } from '../experiments/cost.ts';
import type { Distribution, ExperimentReport, Sample } from '../experiments/report.ts';
import type { Training } from '../experiments/trainings.ts';
import { duration, number } from '../schemas/units.ts';
import { histogram, shortNumber, trainingCurve } from './charts.ts';
import { comparisonPart } from './compare.ts';
import { metricsOf, roundsOf } from './experiment.ts';
import { picture, plain, shown, table, type Html, type Part } from './layout.ts';
import { recordTable } from './records.ts';
import { style } from './style.ts';

/** `comparisons`: of the first experiment with each other one. `made`: when, in ISO format. */
export function reportPage(reports: readonly ExperimentReport[], comparisons: readonly Comparison[], made: string): Html {
  const title = reports.map(({ view }) => view.experiment).join(', ');
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <title>Report: ${plain(title)}</title>
        <style>
          ${raw(style)}
        </style>
      </head>
      <body>
        <main>
          <h1>Report: ${shown(title)}</h1>
          <p class="soft">
            Made by backspin, ${made.slice(0, 16).replace('T', ' ')} UTC. report.json beside this file has every number in it.
          </p>
          ${reports.map((report) => experimentPart(report, reports.length > 1))}
          ${comparisons.map(
            (comparison) =>
              html`<h1>${shown(comparison.a)} and ${shown(comparison.b)}</h1>
                ${comparisonPart(comparison, false)}`,
          )}
        </main>
      </body>
    </html>`;
}

function experimentPart(report: ExperimentReport, several: boolean): Html {
  const { view, config, configDigest, trainings, distributions, samples, cost } = report;
  const { experiment, recipe, state, round, failure } = view;
  return html`${several ? html`<h1>${shown(experiment)}</h1>` : ''}
    <p>
      Recipe <b>${recipe}</b>, <span class="state ${state}">${state}</span>${round === null ? '' : ` after round ${round}`}. Configuration
      <code>${configDigest.slice(0, 16)}</code>.
    </p>
    ${failure === null ? '' : html`<p class="note">${shown(failure)}</p>`} ${metricsOf(view)} ${roundsOf(view, false)}
    ${trainingsPart(trainings)} ${distributionsPart(distributions)} ${samplesPart(samples)}
    <h2>Cost</h2>
    <p>
      ${number(cost.requests)} requests to models, ${number(cost.tokens)} tokens read and written. Time of work, added up over workers:
      ${duration(cost.seconds.map)} for maps, ${duration(cost.seconds.train)} for trainings, ${duration(cost.seconds.evaluate)} for
      evaluations, ${duration(cost.seconds.reduce)} for the rest.
      ${Object.keys(cost.money).length === 0 ? '' : `External models cost ${moneyText(cost.money)}.`} Steps that another experiment had
      computed before cost nothing here.
    </p>
    <h2>What can be had again</h2>
    ${promises(report.determinism)}
    <details>
      <summary class="asked">The whole configuration</summary>
      <div class="text">${shown(stringify(config))}</div>
    </details>`;
}

const meanings: Readonly<Record<string, string>> = {
  exact: 'the same bytes on every machine of the same kind, whatever the seed',
  seeded: 'the same bytes on a machine of the same kind, with the same seed',
  sampled: 'other bytes at each computation: a server or device samples or rounds as it pleases, or an input was so',
  timing: 'other records at each computation: a limit of time, tokens or attempts decided which',
};
const promises = (classes: ExperimentReport['determinism']): Part =>
  table(
    ['steps', 'class', 'if you compute them anew'],
    Object.entries(classes).map(([name, count]) => [count, name, meanings[name] ?? '']),
  );

/** A figure for the trainings of one name and arm, with a line for each round. */
function trainingsPart(trainings: readonly Training[]): Part {
  if (trainings.length === 0) return '';
  const groups = Map.groupBy(trainings, ({ name, arm }) => JSON.stringify([name, arm]));
  const figures = [...groups.values()].flatMap((group) => {
    const { name, arm } = group[0]!;
    const labelled = group.map((one) => ({ ...one, label: one.round === null ? 'start' : `round ${one.round}` }));
    const whose = html`<b>${shown(name)}</b>${arm === null ? '' : html` of arm <b>${shown(arm)}</b>`}`;
    const lines = group.length > 1 ? ', a panel for each round' : '';
    const has = (is: (training: Training) => boolean) => group.some(is);
    const validated = has(({ points }) => points.some(({ validationLoss }) => typeof validationLoss === 'number'));
    const jumped = has(({ spikes }) => spikes.length > 0);
    const normed = has(({ points }) => points.some(({ gradNorm }) => typeof gradNorm === 'number'));
    const loss = html`Loss of the training ${whose} by optimizer step${lines}.
    ${validated ? 'The dashed line is the loss on rows that were held out.' : ''}
    ${jumped ? 'A dot marks a step at which the loss jumped.' : ''}`;
    const norm = html`Gradient norm of the training ${whose} by optimizer step${lines}: how far one step would move the weights, before
    clipping.`;
    return [figure(loss, trainingCurve(labelled, 'loss')), ...(normed ? [figure(norm, trainingCurve(labelled, 'gradNorm'))] : [])];
  });
  return html`<h2>Trainings</h2>
    <div class="tabs">${figures}</div>`;
}

const figure = (caption: Part, svg: string): Html =>
  html`<figure>
    <figcaption>${caption}</figcaption>
    ${picture(svg)}
  </figure>`;

function distributionsPart(distributions: readonly Distribution[]): Part {
  if (distributions.length === 0) return '';
  const figures = distributions.map(({ path, field, of, records, histogram: bins, thresholds }) => {
    const label = plain(of === 'length' ? `characters of ${field}` : field);
    const limits = thresholds.map(
      ({ value, keeps, path: by }) =>
        html` ${shown(by)} keeps those with ${shortNumber(value)} or ${keeps === 'atLeast' ? 'more' : 'less'}.`,
    );
    const what = of === 'length' ? html`length of <b>${shown(field)}</b> in characters` : html`values of <b>${shown(field)}</b>`;
    return figure(
      html`<b>${shown(path)}</b>: ${what}, over ${number(records)} records.${limits}`,
      histogram(bins, label, thresholds, thresholds.length > 0 ? { width: 520, height: 200 } : { width: 340, height: 150 }),
    );
  });
  return html`<h2>Distributions</h2>
    <p class="soft">
      Of the records that a step kept: how many have which number, and how many have a text of which length. A line is the threshold of a
      later step. Equal results are shown once.
    </p>
    <div class="tabs">${figures}</div>`;
}

function samplesPart(samples: readonly Sample[]): Part {
  if (samples.length === 0) return '';
  return html`<h2>Samples</h2>
    <p class="soft">Chosen by a hash of their ids: not by anybody's taste, and the same in every report.</p>
    ${samples.map(
      ({ path, table: kind, total, fields, rows }) =>
        html`<h3>${shown(path)}: ${number(rows.length)} of ${number(total)} ${kind === 'dropped' ? 'dropped' : 'kept'}</h3>
          ${recordTable(null, fields, rows)}`,
    )}`;
}
