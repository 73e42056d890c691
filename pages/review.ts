/** The review of a sample: one record after the other, by keys or buttons, and the verdicts so far. */
import { Hono, type Context } from 'hono';
import { html } from 'hono/html';
import { countsOf, decide, nextRecord, openReview, sendReview, type Review, type Values } from '../experiments/review.ts';
import type { Rec } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { precisionText } from '../schemas/precision.ts';
import { judgement } from '../schemas/review.ts';
import { number } from '../schemas/units.ts';
import type { Store } from '../store/store.ts';
import { keys } from './keys.ts';
import { address, experimentAt, fields, page, recordsAt, shown, table, type Html, type Part } from './layout.ts';

const names = { approve: 'approved', reject: 'rejected', edit: 'edited' } as const;

type Query = Readonly<Record<string, string | undefined>>;
const sampleIn = ({ sample }: Query) => (Number.isInteger(Number(sample)) && Number(sample) > 0 ? Number(sample) : undefined);
const open = (store: Store, record: ExperimentRecord, query: Query) =>
  openReview(store, record, query['step'] || undefined, sampleIn(query));

export const reviewAt = (name: string, { step, ...rest }: Query = {}): string => address(experimentAt(name, '/review'), { step, ...rest });

/** The page of a review, and what its forms send. `recordOf`: the experiment that an address names. */
export function reviewRoutes(store: Store, recordOf: (context: Context) => Promise<ExperimentRecord>): Hono {
  const at = '/e/:name/review';
  const formOf = async (context: Context): Promise<Query> => {
    const form = Object.entries(await context.req.parseBody());
    return Object.fromEntries(form.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  };
  return new Hono()
    .get('/keys.js', (context) => context.body(keys, 200, { 'Content-Type': 'text/javascript; charset=utf-8' }))
    .get(at, async (context) => context.html(await reviewPage(store, await recordOf(context), context.req.query())))
    .post(at, async (context) => context.redirect(await keepVerdict(store, await recordOf(context), await formOf(context)), 303))
    .post(`${at}/send`, async (context) =>
      context.redirect(await sendVerdicts(store, await recordOf(context), await formOf(context)), 303),
    );
}

/** `record`: the one to look at; `after`: one that is left for later. */
async function reviewPage(store: Store, record: ExperimentRecord, query: Query): Promise<Html> {
  const review = await open(store, record, query);
  const { experiment, step, gate, of, records, verdicts } = review;
  const at = { step, sample: `${records.length}` };
  const current = records.find(({ id }) => id === query['record']) ?? nextRecord(review, query['after']);
  const waits = gate === null ? 'No gate waits for these records.' : html`The gate <code>${shown(gate)}</code> waits for them.`;
  const done = html`<p id="progress">
    ${number(verdicts.size)} of ${number(records.length)} have a verdict: ${precisionText(countsOf(review))}.
  </p>`;
  const body = html`<p class="soft">
      A sample of the ${number(of.rows)} records of <a href="${recordsAt(experiment, step)}">${shown(step)}</a>. ${waits}
    </p>
    ${done} ${current ? recordPart(review, current, at) : ''} ${sendPart(review, at)} ${decidedPart(review, at)}
    <script src="/keys.js" defer></script>`;
  return page(`Review of ${step}`, [[experiment, experimentAt(experiment)]], body);
}

function recordPart({ experiment, records, verdicts }: Review, { id, value }: Rec<Values>, at: Query): Html {
  const button = (verdict: string, key: string, name: string) =>
    html`<button name="verdict" value="${verdict}" data-key="${key}">${name} <kbd>${key}</kbd></button>`;
  const decided = verdicts.get(id);
  const text = (one: unknown) => (typeof one === 'string' ? one : JSON.stringify(one));
  const edited = Object.entries(decided?.value ?? value);
  return html`<section id="record">
    <h2>
      Record ${records.findIndex((one) => one.id === id) + 1} of
      ${records.length}${decided ? html` <span class="soft">${names[decided.verdict]}</span>` : ''}
    </h2>
    ${fields(Object.entries(value), 4000)}
    <form class="filter" method="post" action="${reviewAt(experiment)}">
      ${hidden({ ...at, record: id })} ${button('approve', 'a', 'Approve')} ${button('reject', 'r', 'Reject')}
      <label>note<input name="note" maxlength="2000" value="${decided?.note ?? ''}" /></label>
      <a href="${reviewAt(experiment, { ...at, after: id })}" data-key="n">Next <kbd>n</kbd></a>
    </form>
    <details data-key="e">
      <summary>Edit <kbd>e</kbd></summary>
      <form class="edit" method="post" action="${reviewAt(experiment)}">
        ${hidden({ ...at, record: id })}
        ${edited.map(
          ([field, one]) =>
            html`<label
              >${shown(field)}<textarea name="field.${field}" rows="${Math.min(12, 1 + text(one).length / 90)}">${text(one)}</textarea>
            </label>`,
        )}
        <button name="verdict" value="edit">Save the edit</button>
      </form>
    </details>
  </section>`;
}

const hidden = (values: Query): Part =>
  Object.entries(values).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`);

function sendPart({ experiment, gate, verdicts, records }: Review, at: Query): Part {
  if (gate === null || verdicts.size === 0) return '';
  const left = records.length - verdicts.size;
  return html`<h2>Send</h2>
    <form class="filter" method="post" action="${experimentAt(experiment, '/review/send')}">
      ${hidden(at)}
      <label
        >rejected records<select name="rejected">
          <option value="drop">are dropped</option>
          <option value="keep">go on with the others</option>
        </select></label
      >
      <button ${left === 0 ? html`data-key="s"` : ''}>
        Send the review ${left === 0 ? html`<kbd>s</kbd>` : `without the other ${number(left)}`}
      </button>
    </form>`;
}

function decidedPart({ experiment, records, verdicts }: Review, at: Query): Part {
  const decided = records.filter(({ id }) => verdicts.has(id));
  if (decided.length === 0) return '';
  const rows = decided.map(({ id, value }) => {
    const { verdict, note } = verdicts.get(id)!;
    const first = Object.values(value).find((one) => typeof one === 'string') ?? '';
    return [
      html`<a href="${reviewAt(experiment, { ...at, record: id })}">${id.slice(0, 8)}</a>`,
      names[verdict],
      shown(String(first).slice(0, 90)),
      shown(note ?? ''),
    ];
  });
  return html`<details>
    <summary>The ${number(decided.length)} verdicts so far</summary>
    ${table(['record', 'verdict', '', 'note'], rows)}
  </details>`;
}

/** Keeps a verdict of the page. Returns the address of the next record. */
async function keepVerdict(store: Store, record: ExperimentRecord, form: Query): Promise<string> {
  const review = await open(store, record, form);
  const verdict = judgement.safeParse(form['verdict']);
  const id = form['record'] ?? '';
  if (!verdict.success) throw new BackspinError('ConfigError', 'A verdict is one of approve, reject and edit.');
  const value = verdict.data === 'edit' ? editedIn(review, id, form) : null;
  await decide(store, review, id, { verdict: verdict.data, note: form['note'] ?? null, value });
  return reviewAt(record.name, { step: review.step, sample: form['sample'], after: id });
}

/** Texts as they are, other values as JSON. A browser sends each line end as CR LF. */
function editedIn({ records }: Review, id: string, form: Query): Record<string, unknown> {
  const before = records.find((one) => one.id === id)?.value ?? {};
  const entries = Object.entries(before).map(([field, was]) => {
    const text = form[`field.${field}`]?.replaceAll('\r\n', '\n');
    if (text === undefined) return [field, was];
    if (typeof was === 'string') return [field, was.replaceAll('\r\n', '\n') === text ? was : text];
    try {
      return [field, JSON.parse(text)];
    } catch {
      throw new BackspinError('ConfigError', `The edit is not taken: ${field} is not JSON.`);
    }
  });
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** Sends the verdicts to the gate. Returns the address of the experiment. */
async function sendVerdicts(store: Store, record: ExperimentRecord, form: Query): Promise<string> {
  const review = await open(store, record, form);
  await sendReview(store, record, review, form['rejected'] === 'keep' ? 'keep' : 'drop');
  return experimentAt(record.name);
}
