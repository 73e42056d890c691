/** A model that somebody else serves: the embedded server, started by hand. */
import test from 'ava';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitsOf } from '../../experiments/waits.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import { external, type External } from '../../schemas/external.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { baseFolder, Elsewhere } from '../support/embedded.ts';
import { site, until, type Site } from '../support/temporal.ts';

const elsewhere = new Elsewhere();
let on: Site;
let judge: External;

test.before(async () => {
  await elsewhere.start('rated');
  process.env['JUDGE_KEY'] = elsewhere.key;
  const url = elsewhere.url.replace('/v1', '');
  judge = external.parse({ model: 'judge', revision: '1', url, key: { env: 'JUDGE_KEY' } });
  on = await site();
});
test.after.always(async () => {
  await elsewhere.kill();
  await on?.close();
});

const launch = (name: string, count: number, speaker = judge) =>
  on.start(name, 'chatter', { count }, { models: { speaker: { external: speaker } } });
const view = (handle: { query(name: string): Promise<unknown> }) => handle.query('progress') as Promise<ExperimentRecord>;
/** Once its step is held. */
const heldOf = (handle: { query(name: string): Promise<unknown> }) =>
  until(async () => {
    const waits = (await waitsOf(on.env, await view(handle))).get('ask');
    return waits?.state === 'held' && waits;
  });
const attention = (handle: { query(name: string): Promise<unknown> }) => until(async () => (await view(handle)).attention[0]);
const work = () => join(on.services.store.root, 'work');
/** Records in the journals of running steps. */
async function journaled(): Promise<number> {
  const files = (await readdir(work(), { recursive: true })).filter((file) => file.endsWith('.jsonl'));
  const texts = await Promise.all(files.map((file) => readFile(join(work(), file), 'utf8').catch(() => '')));
  return texts.reduce((sum, text) => sum + (text.match(/"done":/g)?.length ?? 0), 0);
}

test.serial(
  'a server that dies in mid-step holds it; once it is back the step goes on, and nothing that was answered is asked again',
  async (t) => {
    await on.working(async () => {
      const handle = await launch('held', 600);
      await until(async () => (await journaled()) > 50);
      await elsewhere.kill();
      const before = await journaled();
      const held = await heldOf(handle);
      t.like(held, { state: 'held', url: judge.url });
      t.regex(held.why, /ECONNREFUSED/);
      await elsewhere.start('rated');
      const { data } = (await handle.result()) as { data: DatasetRef };

      const record = await until(() => on.services.store.experiment('held').then((found) => found?.state === 'completed' && found));
      const step = record.steps.find(({ path }) => path === 'ask')!;
      const output = (await on.services.store.output(step.stepKey!))!;
      t.is(output.in, 600);
      t.is(output.kept, data.rows);
      t.is(output.determinism, 'sampled');
      t.is((await on.services.store.dataset(data)).determinism, 'sampled');
      const counts = [...elsewhere.answered().values()];
      t.is(counts.length, 600);
      t.true(counts.filter((count) => count > 1).length <= 64, 'replies that were on their way');
      t.true(before > 50 && output.requests === 600);
    });
  },
);

test.serial('another model under the same name is found out before the first record; the right one goes on', async (t) => {
  await elsewhere.kill();
  await elsewhere.start('plain');
  const asked = elsewhere.answered().size;
  await on.working(async () => {
    const handle = await launch('changed', 30);
    const { reason } = await attention(handle);
    t.regex(
      reason,
      /^ModelChanged: Step ask, role "speaker": http:\S+ does not answer as judge of revision 1 did .* Declare another `revision`/,
    );
    t.is(elsewhere.answered().size, asked);
    await elsewhere.kill();
    await elsewhere.start('rated');
    await handle.executeUpdate('retryStep', { args: [{}] });
    t.is(((await handle.result()) as { data: DatasetRef }).data.rows, 30);
  });
});

test.serial('a key that is not there is said by name, and can be put there while workers run', async (t) => {
  delete process.env['JUDGE_KEY'];
  await on.working(async () => {
    const handle = await launch('keyless', 31);
    t.regex((await attention(handle)).reason, /ConfigError: The environment variable JUDGE_KEY should hold the key/);
    process.env['JUDGE_KEY'] = 'wrong';
    await handle.executeUpdate('retryStep', { args: [{}] });
    const refused = await until(async () => (await view(handle)).attention.find(({ reason }) => reason.includes('401')));
    t.regex(refused.reason, /CapabilityMissing: Step ask, role "speaker": The model server refuses .* status 401/);
    process.env['JUDGE_KEY'] = elsewhere.key;
    await handle.executeUpdate('retryStep', { args: [{}] });
    await handle.result();
  });
});

test.serial('a pause takes a held step back', async (t) => {
  await elsewhere.kill();
  await on.working(async () => {
    const handle = await launch('paused', 32);
    await heldOf(handle);
    await handle.executeUpdate('pause');
    await elsewhere.start('rated');
    await handle.executeUpdate('resume');
    t.is(((await handle.result()) as { data: DatasetRef }).data.rows, 32);
  });
});

test.serial('one step asks an own model and an external one: the own under a lease, the other beside it', async (t) => {
  const { store } = on.services;
  await on.working(() =>
    on.onDevices(1, 600_000, async () => {
      const models = { speaker: { path: baseFolder('rated') }, other: { external: judge } };
      const handle = await on.start('mixed', 'duet', { count: 12 }, { models });
      const { data } = (await handle.result()) as { data: DatasetRef };
      let rows = 0;
      for await (const { value } of store.read(data)) {
        rows++;
        const { said } = value as { said: [string, string] };
        t.is(said[0], said[1], 'the same weights, greedily, wherever they are served');
      }
      t.is(rows, 12);
      t.is((await store.dataset(data)).determinism, 'sampled');
    }),
  );
});

test.serial('the key is in no history and in no file of the store', async (t) => {
  for await (const { workflowId, runId } of on.env.client.workflow.list()) {
    const history = await on.env.client.workflow.getHandle(workflowId, runId).fetchHistory();
    t.false(JSON.stringify(history, (_, x: unknown) => (x instanceof Uint8Array ? Buffer.from(x).toString() : x)).includes(elsewhere.key));
  }
  const files = (await readdir(on.services.home, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  for (const { parentPath, name } of files) t.false((await readFile(join(parentPath, name))).includes(elsewhere.key), name);
  t.true(files.length > 10);
});
