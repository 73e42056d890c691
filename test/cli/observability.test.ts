/** What collectors get from the workers of a real `up`: metrics and spans that say what the steps say, and logs that name steps. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { currentRecord } from '../../experiments/current.ts';
import { experimentOf } from '../../experiments/record.ts';
import { openStoreOf } from '../../store/open.ts';
import { backspin, root, temporary, until } from './cli.ts';
import { Collector, type Span } from '../support/collector.ts';

const home = temporary();
const collector = new Collector();
/** Adjacent ports that are probably free. */
const first = 20_000 + 10 * (process.pid % 1_000);

interface Target {
  readonly targets: readonly [string];
  readonly labels: Readonly<Record<string, string>>;
}
const targets = () => JSON.parse(readFileSync(join(home, 'metrics.json'), 'utf8')) as readonly Target[];

/** Metrics that a file speaks of. */
const namedIn = (file: string) =>
  sorted([...readFileSync(join(root, file), 'utf8').matchAll(/\bbackspin_[a-z_]+\b/g)].map(([name]) => name.replace(/_bucket$/, '')));
const sorted = (names: readonly string[]) => [...new Set(names)].toSorted();

/** Values of all workers, by name and labels in the order of their names; SDK labels are left out. */
async function scraped(): Promise<Record<string, number>> {
  const values: Record<string, number> = {};
  for (const {
    targets: [target],
  } of targets()) {
    const lines = (await (await fetch(`http://${target}/metrics`)).text()).split('\n');
    for (const line of lines) {
      const [, name, labels, value] = /^(backspin_\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
      if (name === undefined) continue;
      const own = labels!.split(',').filter((label) => /^(server|outcome|experiment|reason|pool)=/.test(label));
      const key = `${name}{${own.toSorted().join(',')}}`;
      values[key] = (values[key] ?? 0) + Number(value);
    }
  }
  return values;
}

test.before(async (t) => {
  const settings = { BACKSPIN_LOG_FORMAT: 'json', OTEL_EXPORTER_OTLP_ENDPOINT: await collector.listen() };
  const up = await backspin(home, ['up', '--detach', '--metrics', `${first}`], settings);
  t.is(up.code, 0, up.stderr);
});
test.after.always(async () => {
  await backspin(home, ['down']);
  collector.close();
});

test.serial('each worker serves its metrics on a port of its own, and a file names them for Prometheus', async (t) => {
  t.deepEqual(targets(), [
    { targets: [`127.0.0.1:${first}`], labels: { worker: 'orchestrator' } },
    { targets: [`127.0.0.1:${first + 1}`], labels: { worker: 'data' } },
    { targets: [`127.0.0.1:${first + 2}`], labels: { worker: 'gpu', pool: 'cpu' } },
  ]);
  for (const {
    targets: [target],
  } of targets()) {
    const text = await (await fetch(`http://${target}/metrics`)).text();
    t.regex(text, /^temporal_worker_start_total\{/m, `those of the SDK are there too: ${target}`);
  }
});

test.serial('requests, tokens, records and drops are those that the steps say', async (t) => {
  t.timeout(900_000);
  const file = join(root, 'test/support/miniature.yaml');
  const { code, stderr, stdout } = await backspin(home, ['launch', file, '--set', 'parameters.rounds=1', '--watch']);
  t.is(code, 0, stderr + stdout);
  const store = await openStoreOf(home);
  const { steps } = await currentRecord(await experimentOf(store, 'miniature'));
  const outputs = await Promise.all(steps.flatMap(({ stepKey }) => (stepKey === null ? [] : [store.output(stepKey)])));
  const asked = outputs.flatMap((output) => (output && output.requests > 0 ? [output] : []));
  const sum = (of: (output: (typeof asked)[number]) => number) => asked.reduce((all, output) => all + of(output), 0);
  const values = await scraped();
  t.true(asked.length > 2);
  const answered = values['backspin_requests_total{outcome="answered",server="cpu"}']!;
  const checks = answered - sum(({ requests }) => requests); // each server that starts is asked a few questions first
  t.true(checks > 0 && checks <= 4 * asked.length, `${checks}`);
  t.is(values['backspin_request_duration_seconds_count{server="cpu"}'], answered);
  t.true(values['backspin_tokens_total{server="cpu"}']! > sum(({ tokens }) => tokens));
  t.is(values['backspin_requests_in_flight{server="cpu"}'], 0);
  t.is(values['backspin_leases{pool="cpu"}'], 0);
  t.is(
    values['backspin_records_total{experiment="miniature",outcome="kept"}'],
    sum(({ kept }) => kept),
  );
  const dropped: Record<string, number> = {};
  for (const output of asked)
    for (const [reason, count] of Object.entries(output.dropped)) dropped[reason] = (dropped[reason] ?? 0) + count;
  t.true(Object.keys(dropped).length > 0);
  for (const [reason, count] of Object.entries(dropped))
    t.is(values[`backspin_drops_total{experiment="miniature",reason="${reason}"}`], count, reason);
  t.is(
    values['backspin_records_total{experiment="miniature",outcome="dropped"}'],
    Object.values(dropped).reduce((a, b) => a + b),
  );
});

test.serial('each step is a trace: below its span are its activities, below those of its batches its requests', async (t) => {
  const store = await openStoreOf(home);
  const { steps } = await currentRecord(await experimentOf(store, 'miniature'));
  const outputs = new Map(await Promise.all(steps.map(async ({ path, stepKey }) => [path, (await store.output(stepKey!))!] as const)));
  const expected = [...outputs.values()].reduce((sum, { requests }) => sum + requests, 0);
  t.true(expected > 20);
  const roots = () => collector.spans.filter(({ parentSpanId }) => !parentSpanId);
  const parentOf = (span: Span) => collector.spans.find(({ traceId, spanId }) => traceId === span.traceId && spanId === span.parentSpanId);
  const requestsIn = (spans: readonly Span[]) =>
    spans.filter((span) => span.name === 'request' && parentOf(span)?.name.startsWith('batch '));
  // each worker sends its spans on its own time
  await until(() => roots().length >= steps.length && requestsIn(collector.spans).length >= expected, 'the spans have come');
  t.deepEqual(
    roots()
      .map(({ name }) => name)
      .toSorted(),
    steps.map(({ path }) => path).toSorted(),
  );
  t.is(new Set(roots().map(({ traceId }) => traceId)).size, steps.length);
  for (const root of roots()) {
    const below = collector.spans.filter((span) => span.traceId === root.traceId && span !== root);
    const activities = below.filter(({ name }) => name !== 'request');
    t.true(activities.length > 0 && activities.every((span) => parentOf(span) === root), root.name);
    t.true(
      activities.every(({ start }) => start >= root.start && start <= root.end),
      root.name,
    );
    const [requests, { tokens, requests: sent }] = [requestsIn(below), outputs.get(root.name)!];
    t.is(requests.length, sent, root.name);
    const seen = requests.reduce((sum, { attributes }) => sum + Number(attributes['backspin.tokens']), 0);
    if (sent > 0) t.is(seen, tokens, root.name); // those of a training ask nobody
  }
});

test.serial('the document and the board speak of all metrics, and of no others', async (t) => {
  const served = sorted(Object.keys(await scraped()).map((key) => key.split('{')[0]!.replace(/_(bucket|sum|count)$/, '')));
  for (const file of ['docs/deploying.md', 'deploy/grafana.json']) t.deepEqual(namedIn(file), served, file);
});

test.serial('a log line of an activity is JSON, and names experiment and step', async (t) => {
  const folder = temporary();
  writeFileSync(
    join(folder, 'broken.ts'),
    `import { source } from 'backspin';\nimport { z } from 'zod';\nexport const namespace = 'broken';\nexport const pairs = source({ version: 1, output: z.object({ text: z.string() }), *rows() { throw new Error('no pair today'); } });\n`,
  );
  const data = '{ seed: { source: broken.pairs }, corpus: { source: broken.pairs } }';
  writeFileSync(
    join(folder, 'broken.yaml'),
    `recipe: humpback\nmodules: [broken.ts]\ndata: ${data}\nmodels: { base: { path: ${root}/examples/textworld/base/rated } }\nparameters: { rounds: 1, keep: { threshold: 5 }, sft: { maxTokens: 256 } }\n`,
  );
  const { code, stderr } = await backspin(home, ['launch', join(folder, 'broken.yaml')]);
  t.is(code, 0, stderr);
  const lines = () =>
    readFileSync(join(home, 'logs/data.log'), 'utf8')
      .split('\n')
      .flatMap((line) => (line.includes('no pair today') ? [JSON.parse(line) as Record<string, unknown>] : []));
  await until(() => lines().length > 0, 'the failure is logged');
  const { level, time, experiment, step, activityType, attempt } = lines()[0]!;
  t.deepEqual({ level, experiment, activityType, attempt }, { level: 'warn', experiment: 'broken', activityType: 'compute', attempt: 1 });
  t.true(['data-seed', 'data-corpus'].includes(String(step)));
  t.false(Number.isNaN(Date.parse(String(time))));
  t.is((await backspin(home, ['cancel', 'broken'])).code, 0);
});

test.serial('ports that are taken are named', async (t) => {
  const server = createServer();
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const { code, stderr } = await backspin(temporary(), ['up', '--detach', '--metrics', `${port}`]);
  t.is(code, 1);
  t.regex(
    stderr,
    new RegExp(
      `Metrics need 3 adjacent ports, one for each worker, and 127\\.0\\.0\\.1:${port} cannot be used: choose others with --metrics`,
    ),
  );
  server.close();
});
