import test from 'ava';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '@temporalio/activity';
import { ActivityNotFoundError, type Client } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { failDeadAttempts, inflight } from '../../devices/inflight.ts';
import { self } from '../../devices/processes.ts';
import { until } from '../support/devices.ts';
import { held } from '../support/inflight-worker.ts';

const homeOf = () => mkdtempSync(join(tmpdir(), 'backspin-inflight-'));
const filesIn = (home: string): string[] =>
  existsSync(join(home, 'inflight'))
    ? readdirSync(join(home, 'inflight'), { recursive: true })
        .map(String)
        .filter((path) => path.includes('/'))
    : [];

test.serial('the attempt of a killed worker is handed out again at once, whatever its heartbeat timeout', async (t) => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const { temporal } = JSON.parse(readFileSync(join(import.meta.dirname, '../../node_modules/.backspin-setup.json'), 'utf8')) as {
    temporal: string;
  };
  const env = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path: temporal } } });
  t.teardown(() => env.teardown());
  const home = homeOf();
  const workflowsPath = join(import.meta.dirname, '../support/inflight-workflows.ts');
  const orchestrator = await Worker.create({ connection: env.nativeConnection, taskQueue: 'q', workflowsPath });
  await orchestrator.runUntil(async () => {
    const dying = spawn(process.execPath, [join(import.meta.dirname, '../support/inflight-worker.ts'), env.address, 'q', home], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    t.teardown(() => dying.kill('SIGKILL'));
    const handle = await env.client.workflow.start('one', { taskQueue: 'q', workflowId: 'a/b c' });
    await until(() => filesIn(home).some((file) => readFileSync(join(home, 'inflight', file), 'utf8') !== ''));
    t.is(await failDeadAttempts(env.client, home), 0); // its worker lives

    const died = new Promise((done) => dying.once('exit', done));
    dying.kill('SIGKILL');
    await died;
    writeFileSync(join(home, 'inflight', filesIn(home)[0]!.replace(/~.*/, '~torn')), 'half a tok');
    t.is(await failDeadAttempts(env.client, home), 1, 'what is no token is passed over');
    t.deepEqual(filesIn(home), []);

    const next = await Worker.create({
      connection: env.nativeConnection,
      taskQueue: 'q',
      activities: { held },
      interceptors: { activity: [inflight(home)] },
    });
    t.is(await next.runUntil(handle.result()), 2);
  });
});

/** A server that fails `down` times, and an activity of it. */
function activity(down: number) {
  const cancel = new AbortController();
  const seen = { asked: 0, beats: 0 };
  const context = {
    info: { workflowExecution: { workflowId: 'w/1' }, activityId: 'serve', attempt: 3, base64TaskToken: 'dG9rZW4=' },
    cancellationSignal: cancel.signal,
    heartbeat: () => seen.beats++,
    client: {
      connection: {
        withDeadline: (_: number, call: () => unknown) => call(),
        workflowService: { getSystemInfo: () => (seen.asked++ < down ? Promise.reject(new Error('down')) : Promise.resolve({})) },
      },
    },
  } as unknown as Context;
  const run = (home: string, body: () => unknown) =>
    inflight(home)(context).inbound!.execute!({ args: [], headers: {} }, () => Promise.resolve().then(body));
  return { cancel, seen, run };
}

test('a token lies there while the activity runs and until its result has surely gone', async (t) => {
  const home = homeOf();
  const { run } = activity(0);
  const [file] = (await run(home, () => filesIn(home))) as string[];
  t.is(file, `${self.pid}-${self.start}/w%2F1~serve~3`);
  const modes = [file!, join(file!, '..')].map((path) => statSync(join(home, 'inflight', path)).mode & 0o777);
  t.deepEqual(modes, [0o600, 0o700], 'whoever has a token can end the attempt');
  t.deepEqual(filesIn(home), [file]);
  await until(() => filesIn(home).length === 0);
});

test('a result and a failure are held, beating, until the server answers', async (t) => {
  for (const body of [() => 'done', () => Promise.reject(new Error('broken'))]) {
    const { run, seen } = activity(2);
    const [outcome] = await Promise.allSettled([run(homeOf(), body)]);
    t.is(
      outcome.status === 'fulfilled' ? outcome.value : (outcome.reason as Error).message,
      outcome.status === 'fulfilled' ? 'done' : 'broken',
    );
    t.deepEqual(seen, { asked: 3, beats: 2 });
  }
});

test('a cancelled activity is not held', async (t) => {
  const { run, seen, cancel } = activity(Infinity);
  const running = run(homeOf(), () => 'done');
  await until(() => seen.asked > 0);
  cancel.abort();
  t.is(await running, 'done');
});

test('the token of a cancelled activity stays where the server has gone: nobody may have heard of its end', async (t) => {
  const home = homeOf();
  const { run, seen, cancel } = activity(Infinity);
  cancel.abort();
  await run(home, () => 'done');
  await until(() => seen.asked > 0);
  t.is(filesIn(home).length, 1);
});

test('an attempt that is over is passed over, a torn token too; another error leaves the file for the next who tries', async (t) => {
  const home = homeOf();
  const folder = join(home, 'inflight', '1073741824-1');
  mkdirSync(folder, { recursive: true });
  for (const [name, token] of Object.entries({ a: 'YQ==', b: '', c: '\0\0\0\0' })) writeFileSync(join(folder, name), token);
  const client = (error: Error) => ({ activity: { fail: () => Promise.reject(error) } }) as unknown as Client;
  await t.throwsAsync(failDeadAttempts(client(new Error('unreachable')), home), { message: 'unreachable' });
  t.true(filesIn(home).includes('1073741824-1/a'));
  t.is(await failDeadAttempts(client(new ActivityNotFoundError('over')), home), 0);
  t.deepEqual(filesIn(home), []);
});
