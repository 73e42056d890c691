/** The journey of one record. */
import { html } from 'hono/html';
import type { Journey, JourneyEvent } from '../experiments/journey.ts';
import type { Exchange } from '../steps/replay.ts';
import { experimentAt, fields, long, page, plain, recordAt, recordsAt, shown, type Html, type Part } from './layout.ts';

export function journeyPage({ experiment, id, origin, events, unasked }: Journey): Html {
  const seen = new Set<string>();
  const parts = events.map((event) => {
    const first = !seen.has(event.id);
    seen.add(event.id);
    return eventPart(experiment, event, first);
  });
  const body = html`${origin === null ? '' : html`<p>From ${shown(origin)}.</p>`}
    <p class="soft">Every step that had this record, in order: what it was made of, what became of it, and what was made of it.</p>
    ${parts}`;
  return page(
    `Record ${id.slice(0, 12)}`,
    [[experiment, experimentAt(experiment)]],
    body,
    unasked === null ? [] : [`What models were asked cannot be shown: ${unasked}`],
  );
}

const relations = { itself: '', ancestor: 'what it was made of', descendant: 'what was made of it' } as const;

function eventPart(experiment: string, event: JourneyEvent, withValue: boolean): Html {
  const { path, operation, what, reason, evidence, relation, id, value, asked } = event;
  const outcome =
    what === 'dropped'
      ? html`<a class="dropped" href="${recordsAt(experiment, path, { table: 'dropped', reason })}">dropped: ${shown(reason ?? '')}</a>`
      : html`<span class="kept">${what}</span>`;
  const other =
    relation === 'itself'
      ? ''
      : html`<span class="soft">· ${relations[relation]}, <a href="${recordAt(experiment, id)}">${id.slice(0, 8)}</a></span>`;
  return html`<section class="event ${relation} ${what === 'dropped' ? 'dropped-here' : ''}">
    <h3><a href="${recordsAt(experiment, path)}">${plain(path)}</a> ${outcome} ${other}</h3>
    <div class="soft">${plain(operation)}</div>
    ${evidence === null ? '' : fields([['evidence', evidence]])} ${withValue ? fields(Object.entries(objectOf(value))) : ''}
    ${asked === null ? '' : asked.exchanges.map((exchange) => exchangePart(exchange))}
    ${
      asked === null || asked.changed.length === 0
        ? ''
        : html`<p class="note">The prompt is that of today: the version of ${shown(asked.changed.join(', '))} was another one.</p>`
    }
  </section>`;
}
const objectOf = (value: unknown): object => (typeof value === 'object' && value !== null ? value : { value });

function exchangePart({ role, prompt, continuations, reply }: Exchange): Html {
  const turns: [string, Part][] =
    'messages' in prompt
      ? [
          ...prompt.messages.map((turn): [string, Part] => [turn.role, long(turn.content, 5000)]),
          ...(prompt.prefill === undefined ? [] : [['opening of the reply', long(prompt.prefill)] as [string, Part]]),
        ]
      : 'text' in prompt
        ? [['text', long(prompt.text, 5000)]]
        : [['tokens', long(prompt.tokens)]];
  const rest: [string, Part][] = [
    ...(continuations ?? []).map((one): [string, Part] => ['continuation', long(one)]),
    ...(reply === null ? [] : [['reply', long(reply, 5000)] as [string, Part]]),
  ];
  return html`<details>
    <summary class="asked">what ${plain(role)} was asked${reply === null ? '' : ', and its reply'}</summary>
    <dl class="fields">
      ${[...turns, ...rest].map(
        ([key, value]) =>
          html`<dt>${plain(key)}</dt>
            <dd>${value}</dd>`,
      )}
    </dl>
  </details>`;
}
