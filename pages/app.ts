/** The pages: every view of experiments and their records is an address. Reads the store, and Temporal for experiments that run. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Hono, type Context } from 'hono';
import { html } from 'hono/html';
import { stringify } from 'yaml';
import { besideOf } from '../experiments/beside.ts';
import { comparisonOf } from '../experiments/comparison.ts';
import { currentProgress, currentRecord, withTemporal } from '../experiments/current.ts';
import { journeyOf } from '../experiments/journey.ts';
import { lineageOf } from '../experiments/lineage.ts';
import { LiveCounts } from '../experiments/live.ts';
import { experimentOf, openExperiments } from '../experiments/record.ts';
import { findStep, outputOf } from '../experiments/steps.ts';
import { histogramOf, pageOf, reasonsOf, type Filter } from '../experiments/tables/page.ts';
import { tablesOf, type StepTable } from '../experiments/tables/steps.ts';
import { thresholdsIn } from '../experiments/thresholds.ts';
import { viewOf } from '../experiments/view.ts';
import { currentUp, experimentsInUi } from '../host/home.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';
import { besidePage } from './beside.ts';
import { comparePage } from './compare.ts';
import { experimentPage } from './experiment.ts';
import { experimentsPage } from './experiments.ts';
import { guard } from './guard.ts';
import { journeyPage } from './journey.ts';
import { experimentAt, long, page, shown, type Html } from './layout.ts';
import { lineagePage } from './lineage.ts';
import { foundPart, PAGE_ROWS, recordsPage, type RecordsView } from './records.ts';
import { reviewRoutes } from './review.ts';
import { style } from './style.ts';

export interface AppOptions {
  readonly store: Store;
  readonly token: string;
  /** The port that the server listens on. */
  readonly port: () => number;
}

const htmx = createRequire(import.meta.url).resolve('htmx.org/dist/htmx.min.js');
const STATUS: Partial<Record<string, 400 | 404 | 409 | 503>> = {
  NotFound: 404,
  ConfigError: 400,
  NotOpen: 409,
  Refused: 409,
  NotUp: 503,
  ServerDown: 503,
  NoOrchestrator: 503,
};

export function createApp({ store, token, port }: AppOptions): Hono {
  const app = new Hono();
  const recordOf = async (context: Context) => currentRecord(await experimentOf(store, context.req.param('name')!));
  app.use(guard(token, port));
  app.onError((error, context) => {
    const known = error instanceof BackspinError;
    const body = known ? error.message : 'The page could not be made. The terminal of `backspin ui` says more.';
    if (!known) console.error(error);
    return context.html(page('Not shown', [], html`<p class="note">${shown(body)}</p>`), known ? (STATUS[error.type] ?? 500) : 500);
  });
  app.notFound((context) => context.html(page('Not found', [], html`<p>There is no such page.</p>`), 404));
  app.get('/style.css', (context) => context.body(style, 200, { 'Content-Type': 'text/css; charset=utf-8' }));
  app.get('/htmx.js', async (context) =>
    context.body(await readFile(htmx, 'utf8'), 200, { 'Content-Type': 'text/javascript; charset=utf-8' }),
  );

  app.get('/', async (context) => {
    const { records, unreadable } = await allRecords(store);
    return context.html(experimentsPage(records, unreadable, temporalList()));
  });
  app.get('/compare', async (context) => {
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (side) => currentRecord(await experimentOf(store, context.req.query(side) ?? ''))),
    );
    return context.html(comparePage(await comparisonOf(store, a!, b!)));
  });
  app.get('/e/:name', async (context) => {
    const record = await experimentOf(store, context.req.param('name'));
    return withTemporal(async (temporal, why) => {
      const progress = await currentProgress(temporal, why, record, () => openExperiments(store));
      const view = await viewOf(store, progress.record, new LiveCounts(), progress.waits);
      return context.html(experimentPage(view, progress.stale, temporalPage(progress.record)));
    });
  });
  app.get('/e/:name/config', async (context) => {
    const { name, config } = await recordOf(context);
    return context.html(page('Configuration', [[name, experimentAt(name)]], long(stringify(config), Infinity)));
  });
  app.get('/e/:name/lineage', async (context) => {
    const record = await recordOf(context);
    return context.html(lineagePage(record.name, await lineageOf(store, record)));
  });
  app.get('/e/:name/record/:id', async (context) => {
    return context.html(journeyPage(await journeyOf(store, await recordOf(context), context.req.param('id'))));
  });
  app.get('/e/:name/beside', async (context) => besideAnswer(store, context, await recordOf(context)));
  app.get('/e/:name/records', async (context) => {
    const view = await recordsOf(store, await recordOf(context), context.req.query());
    if (!('step' in view)) return context.html(view);
    return context.html(context.req.header('hx-request') === 'true' ? foundPart(view) : recordsPage(view));
  });
  app.route('/', reviewRoutes(store, recordOf));
  return app;
}

async function allRecords(store: Store) {
  const records: ExperimentRecord[] = [];
  const unreadable: string[] = [];
  for (const name of await store.experimentNames()) {
    try {
      const record = await store.experiment(name);
      if (record) records.push(record);
    } catch (error) {
      unreadable.push((error as Error).message); // a damaged record
    }
  }
  return { records, unreadable };
}

/** The workflows of the Temporal UI that are experiments. */
function temporalList(): string | null {
  const up = currentUp();
  if (!up?.uiAddress) return null;
  return experimentsInUi(up.uiAddress, up.namespace);
}
function temporalPage({ workflowId, runId }: ExperimentRecord): string | null {
  const up = currentUp();
  if (!up?.uiAddress) return null;
  return `${up.uiAddress}/namespaces/${up.namespace}/workflows/${encodeURIComponent(workflowId)}${runId === null ? '' : `/${runId}`}`;
}

/** A view, or the page of a step without tables. */
async function recordsOf(store: Store, record: ExperimentRecord, query: Readonly<Record<string, string>>): Promise<RecordsView | Html> {
  const step = findStep(record, query['step'] ?? '');
  const { path, operation, name } = step;
  const output = await outputOf(store, record.name, step);
  const tables = tablesOf(step, output);
  const table = tables.find(({ label }) => label === (query['table'] || 'records')) ?? tables[0];
  if (!table) {
    const { inputs: _, sources: __, ...rest } = output;
    return page(path, [[record.name, experimentAt(record.name)]], long(stringify(rest), Infinity));
  }
  const filter = filterOf(query);
  const number = Math.max(0, Math.floor(Number(query['page'] ?? 0)) || 0);
  const found = await pageOf(store, table, filter, number * PAGE_ROWS, PAGE_ROWS);
  const bins = filter.field === undefined ? undefined : await histogramOf(store, table, filter, filter.field);
  const thresholds = filter.field === undefined ? [] : await thresholdsIn(store, record, table.ref.digest, filter.field);
  const reasons = table.label === 'dropped' ? await reasonsOf(store, table) : [];
  const same = record.steps.filter((other) => other.name === name && other.stepKey !== null && other.state === 'completed');
  const others = same.length > 1 ? same.map((other) => other.path) : [];
  const shownTable = { experiment: record.name, step: path, operation, tables, table: table.label };
  return { ...shownTable, filter, found, reasons, bins, thresholds, page: number, others };
}

function filterOf(query: Readonly<Record<string, string>>): Filter {
  const text = (name: string) => (query[name] ? { [name]: query[name] } : {});
  const number = (name: string) => (query[name] && Number.isFinite(Number(query[name])) ? { [name]: Number(query[name]) } : {});
  return { ...text('reason'), ...text('text'), ...text('field'), ...text('sort'), ...number('least'), ...number('most') };
}

async function besideAnswer(store: Store, context: Context, record: ExperimentRecord): Promise<Response> {
  const named = async (side: string): Promise<{ path: string; table: StepTable }> => {
    const step = findStep(record, context.req.query(side) ?? '');
    const table = tablesOf(step, await outputOf(store, record.name, step)).find(({ layout }) => layout === 'records');
    if (!table) throw new BackspinError('NotFound', `The step ${step.path} has no records.`);
    return { path: step.path, table };
  };
  const paths = record.steps.filter(({ result }) => result && 'kind' in result && result.kind === 'dataset').map(({ path }) => path);
  return context.html(besidePage(record.name, paths, await besideOf(store, await named('a'), await named('b'), PAGE_ROWS)));
}
