/** The page of all experiments. */
import { html } from 'hono/html';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { experimentAt, page, plain, shown, table, type Html } from './layout.ts';

export function experimentsPage(records: readonly ExperimentRecord[], unreadable: readonly string[], temporal: string | null): Html {
  const rows = records
    .toSorted((a, b) => b.updated.localeCompare(a.updated))
    .map(({ name, recipe, state, round, parent, updated }) => [
      html`<a href="${experimentAt(name)}">${plain(name)}</a>`,
      recipe,
      html`<span class="state ${state}">${state}</span>`,
      round ?? '',
      parent ? html`<a href="${experimentAt(parent.name)}">${plain(parent.name)}</a>, round ${parent.round}` : '',
      updated.replace('T', ' ').slice(0, 16),
    ]);
  const list =
    rows.length === 0
      ? html`<p>No experiment yet: <code>backspin launch FILE</code> starts one.</p>`
      : table(['experiment', 'recipe', 'state', 'round', 'fork of', 'updated (UTC)'], rows);
  const compare =
    records.length < 2
      ? ''
      : html`<h2>Compare two</h2>
          <form class="filter" action="/compare">
            ${['a', 'b'].map(
              (field, at) =>
                html`<label
                  >${at === 0 ? 'experiment' : 'with'}
                  <select name="${field}">
                    ${records.map(({ name }, i) => html`<option value="${name}" ${i === at ? 'selected' : ''}>${plain(name)}</option>`)}
                  </select></label
                >`,
            )}
            <button>Compare</button>
          </form>`;
  const ui =
    temporal === null ? '' : html`<p><a href="${temporal}">The experiments in the Temporal UI</a>, without the stages of their steps.</p>`;
  return page('Experiments', [], html`${list} ${compare} ${ui} ${unreadable.map((why) => html`<p class="note">${shown(why)}</p>`)}`);
}
