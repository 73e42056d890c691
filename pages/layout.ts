/** What all pages share: the frame, text that may be hostile, addresses, tables. */
import { html, raw } from 'hono/html';
import { CONTROLS, escapeCharacter } from '../schemas/controls.ts';
import { number } from '../schemas/units.ts';

export type Html = ReturnType<typeof html>;
export type Part = Html | string | number | null | undefined | readonly Part[];

/** `crumbs`: name and address of the pages above this one. */
export function page(title: string, crumbs: readonly (readonly [string, string])[], body: Part, notes: readonly string[] = []): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="htmx-config" content='{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true}' />
        <title>${plain(title)} · backspin</title>
        <link rel="stylesheet" href="/style.css" />
        <script src="/htmx.js" defer></script>
      </head>
      <body>
        <nav aria-label="Breadcrumb">
          <a href="/">backspin</a>${crumbs.map(([name, to]) => html` <span aria-hidden="true">›</span> <a href="${to}">${plain(name)}</a>`)}
        </nav>
        <main>
          <h1>${shown(title)}</h1>
          ${notes.map((note) => html`<p class="note">${shown(note)}</p>`)} ${body}
        </main>
      </body>
    </html>`;
}

/** A text of data or a model, with its control characters visible. Its direction does not reach what surrounds it. */
export const shown = (value: unknown): Html => html`<bdi>${marked(typeof value === 'string' ? value : JSON.stringify(value))}</bdi>`;

function marked(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { 0: char, index } of text.matchAll(CONTROLS)) {
    parts.push(text.slice(at, index), html`<code class="control">${escapeCharacter(char)}</code>`);
    at = index + 1;
  }
  return [...parts, text.slice(at)];
}
/** The same for places that take no markup. */
export const plain = (text: string): string => text.replaceAll(CONTROLS, escapeCharacter);

/** A long text, of which at first only the beginning is seen. Objects show a line for each field. */
export function long(value: unknown, most = 280): Html {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return fields(Object.entries(value), most);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text.length <= most) return html`<div class="text">${shown(text)}</div>`;
  const more = html`<span class="more">… ${number(text.length)} characters</span>`;
  return html`<details>
    <summary><span class="text">${shown(text.slice(0, most))}</span>${more}</summary>
    <div class="text">${shown(text.slice(most))}</div>
  </details>`;
}

export function fields(entries: readonly (readonly [string, unknown])[], most = 1200): Html {
  return html`<dl class="fields">
    ${entries.map(
      ([key, value]) =>
        html`<dt>${shown(key)}</dt>
          <dd>${long(value, most)}</dd>`,
    )}
  </dl>`;
}

/** An address with its parameters; those that are undefined or empty are left out. */
export function address(path: string, parameters: Readonly<Record<string, string | number | null | undefined>> = {}): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const query = new URLSearchParams(given.map(([key, value]): [string, string] => [key, String(value)])).toString();
  return query === '' ? path : `${path}?${query}`;
}
export const experimentAt = (name: string, more = ''): string => `/e/${encodeURIComponent(name)}${more}`;
export const recordsAt = (name: string, step: string, rest: Parameters<typeof address>[1] = {}): string =>
  address(experimentAt(name, '/records'), { step, ...rest });
export const recordAt = (name: string, id: string): string => experimentAt(name, `/record/${encodeURIComponent(id)}`);

/** A link, or only its text where there is nothing to follow, as in a file. */
export const link = (to: string | null, text: Part, kind = ''): Html =>
  to === null ? html`<span class="${kind}">${text}</span>` : html`<a href="${to}" class="${kind}">${text}</a>`;

/** A table; numbers stand to the right. */
export function table(head: readonly Part[], rows: readonly (readonly Part[])[], caption?: Part): Html {
  const cell = (one: Part) => (typeof one === 'number' ? html`<td class="number">${number(one)}</td>` : html`<td>${one}</td>`);
  const about = caption === undefined ? '' : html`<p class="soft">${caption}</p>`;
  return html`${about}
    <div class="wide">
      <table>
        <thead>
          <tr>
            ${head.map((title) => html`<th scope="col">${title}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) =>
              html`<tr>
                ${row.map(cell)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

/** SVG of our own making. */
export const picture = (svg: string): Html => raw(svg);
