/** Messages to an address of the user's: once for each event, tried again while nobody takes them, and told of if nobody does. */
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import type { Notification } from '../../schemas/notify.ts';
import { replays, site, until, type Site } from '../support/temporal.ts';

let on: Site;
let server: Server;
let url: string;
let got: Notification[];
/** Statuses of the next answers; then 200. */
let answers: number[];
test.before(async () => {
  on = await site();
  server = createServer((request, response) => {
    void text(request).then((body) => {
      const status = answers.shift() ?? 200;
      if (status === 200) got.push(JSON.parse(body) as Notification);
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
});
test.beforeEach(() => {
  [got, answers] = [[], []];
});
test.after.always(async () => {
  server?.close();
  await on?.close();
});

const gated = { rounds: 1, minimum: 1000, by: 3 };
const all = ['attention', 'completed', 'failed', 'cancelled'] as const;
const start = (name: string, parameters: object = gated, more: object = {}) =>
  on.start(name, 'toy', parameters, { notify: { url, on: [...all], ...more } });
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const waits = (handle: WorkflowHandle) => until(async () => (await view(handle)).attention.length > 0);

test.serial('a gate that waits and the end are posted once each, with what to do', async (t) => {
  await on.working(async () => {
    const handle = await start('posted');
    await waits(handle);
    await until(async () => got.length === 1);
    t.like(got[0], { event: 'attention', experiment: 'posted', path: 'r1/gate' });
    t.regex(got[0]!.text, /^posted: r1\/gate waits: the gate wants at least 1000 records.*backspin approve posted r1\/gate/);
    t.is(got[0]!.text, got[0]!.content);
    await handle.executeUpdate('pause');
    await handle.executeUpdate('resume');
    await handle.executeUpdate('approve');
    await handle.result();
    t.deepEqual(
      got.map(({ event }) => event),
      ['attention', 'completed'],
    );
    t.is(got[1]!.text, 'posted is completed');
  });
});

test.serial('what stands at attention is posted once, though the workflow continues as new meanwhile', async (t) => {
  const broken = join(tmpdir(), `broken-${process.pid}`);
  process.env['BACKSPIN_TOY_BROKEN'] = broken;
  await writeFile(broken, '');
  await on.working(async () => {
    const handle = await on.start('braided', 'braid', { rounds: 5, by: 3 }, { historyLimit: 5, notify: { url, on: [...all] } });
    await until(async () => (await view(handle)).steps.some(({ path, state }) => path === 'sieve-5' && state === 'completed'));
    await waits(handle);
    t.not((await handle.describe()).runId, handle.firstExecutionRunId);
    await rm(broken);
    await handle.executeUpdate('retryStep');
    await handle.result();
    t.deepEqual(
      got.map(({ event, path }) => [event, path]),
      [
        ['attention', 'aside/fragile'],
        ['completed', null],
      ],
    );
  });
});

test.serial('a message that is not taken is posted again, and arrives once', async (t) => {
  answers = [503, 429];
  await on.working(async () => {
    const handle = await start('patient');
    await waits(handle);
    await until(async () => got.length === 1);
    await handle.cancel();
    await t.throwsAsync(handle.result());
    t.deepEqual(
      got.map(({ event }) => event),
      ['attention', 'cancelled'],
    );
  });
});

test.serial('a message that is refused holds nothing up, and a notice names the status and not the address', async (t) => {
  answers = [404, 404];
  await on.working(async () => {
    const handle = await start('refused', { rounds: 1, minimum: 1000, by: 3 });
    const { notices } = await until(async () => {
      const now = await view(handle);
      return now.notices.length > 0 && now;
    });
    t.regex(
      notices[0]!,
      /^The message about "r1\/gate waits: .*" could not be delivered: 127\.0\.0\.1:\d+ answers 404 to it: correct `notify\.url`\.$/,
    );
    await handle.executeUpdate('approve');
    await handle.result();
    t.deepEqual(got, []);
  });
});

test.serial('a secret address is read from the environment of the workers, and is in no history', async (t) => {
  process.env['BACKSPIN_TEST_HOOK'] = `${url}?key=secret`;
  await on.working(async () => {
    const handle = await start('secret', { ...gated, minimum: 1 }, { url: { env: 'BACKSPIN_TEST_HOOK' } });
    await handle.result();
    t.deepEqual(
      got.map(({ event }) => event),
      ['completed'],
    );
    const history = historyToJSON(await handle.fetchHistory());
    const texts = [...history.matchAll(/"data": *"([^"]+)"/g)].map(([, data]) => Buffer.from(data!, 'base64').toString()).join('\n');
    t.true(texts.includes('BACKSPIN_TEST_HOOK'));
    t.false(texts.includes('key=secret'));
  });
});

test.serial('what has run replays', (t) => replays(t, on, ['posted', 'patient', 'refused']));
