/** Another build takes running experiments over: no worker runs meanwhile, as between `down` and `up`. */
import test from 'ava';
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, bundleWorkflowCode, type Worker } from '@temporalio/worker';
import { upgradeExperiments } from '../../experiments/upgrade.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { makeModel, site, type Site, until } from '../support/temporal.ts';

let on: Site;
let model: string;
let upgraded: { code: string };
test.before(async () => {
  on = await site();
  model = await makeModel(on.services.home);
  upgraded = await bundleWorkflowCode({
    workflowsPath: resolve(import.meta.dirname, '../support/upgraded-workflows.ts'),
    logger: new DefaultLogger('ERROR'),
  });
});
test.after.always(async () => on?.close());

/** Whether the model answers. */
let speaks = false;
let replies = 0;
const models = {
  concurrency: 8,
  of: () => ({
    served: 'speaker',
    client: {
      async chat(_: string, __: unknown, ___: object, { signal }: { signal: AbortSignal }) {
        if (!speaks) await new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason as Error)));
        replies++;
        return { reply: { text: 'one', finish: 'stop' }, tokens: 1 };
      },
    },
  }),
} as never;

const parameters = { rounds: 2, minimum: 1, by: 3 };
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const now = ({ workflowId }: WorkflowHandle) => on.env.client.workflow.getHandle(workflowId);
const resultOf = async (handle: WorkflowHandle) => (await now(handle).result()) as { data: DatasetRef; more?: DatasetRef };
const waiting = (handle: WorkflowHandle, path: string) =>
  until(async () => (await view(handle)).attention.some((one) => one.path === path), 120_000);
const recordOf = (name: string) => until(() => on.services.store.experiment(name).then((found) => found?.state === 'completed' && found));

/** Runs `body` beside the workers of a build. */
async function under(build: 'one' | 'two', body: () => Promise<unknown>, more: readonly Worker[] = []): Promise<void> {
  const own = [await on.orchestrator({ buildId: build, ...(build === 'two' && { workflowBundle: upgraded }) }), await on.data(), ...more];
  const running = own.map((worker) => worker.run());
  try {
    await body();
  } finally {
    for (const worker of own) worker.shutdown();
    await Promise.all(running);
  }
}
const upgrade = (services = on.services) => upgradeExperiments(on.env.client, services, 'two');

test.serial('a step in flight: the changed recipe runs from the top, to the result that it has without the upgrade', async (t) => {
  const start = (name: string) => on.start(name, 'braid', { ...parameters, count: 300 }, { models: { speaker: { path: model } } });
  const handle = await start('braid');
  const asked = async () => (await now(handle).describe()).raw.pendingChildren?.some(({ workflowId }) => workflowId?.includes('toy.ask'));
  await under('one', () => until(asked), await on.pool(models));
  const { runId } = await handle.describe();
  t.deepEqual(await upgrade(), ['braid']);
  t.deepEqual(await upgrade(), [], 'what has not run yet is any build’s');
  t.is((await on.env.client.workflow.getHandle(handle.workflowId, runId).describe()).status.name, 'TERMINATED');
  speaks = true;
  await under(
    'two',
    async () => {
      const { data, more } = await resultOf(handle);
      t.truthy(more);
      const fresh = await resultOf(await start('fresh'));
      t.deepEqual({ data, more }, fresh);
    },
    await on.pool(models),
  );
  const record = await recordOf('braid');
  t.true(record.steps.some(({ path }) => path === 'more'));
  t.regex(record.notices.join(), /other files of backspin were started \(build two, before one\)/);
  t.deepEqual(await upgrade(), []);
});

test.serial('what a person has said holds under the new code: an approval, a last round, a pause', async (t) => {
  const handle = await on.start('said', 'toy', { ...parameters, rounds: 4, minimum: 1000 });
  await under('one', async () => {
    await waiting(handle, 'r1/gate');
    await handle.executeUpdate('approve', { args: [{}] });
    await waiting(handle, 'r2/gate');
    await handle.executeUpdate('stopAfterRound', { args: [{ round: 2 }] });
    await handle.executeUpdate('pause');
  });
  await upgrade();
  await under('two', async () => {
    await until(async () => (await view(now(handle))).state === 'paused');
    await now(handle).executeUpdate('resume');
    await waiting(now(handle), 'r2/gate');
    await now(handle).executeUpdate('approve', { args: [{}] });
    await resultOf(handle);
  });
  const { steps, round } = await recordOf('said');
  t.is(round, 2);
  t.true(steps.some(({ path }) => path === 'more'));
});

test.serial('a budget that a person has changed holds under the new code, and so does what was answered', async (t) => {
  speaks = true;
  const handle = await on.start(
    'budget',
    'chatter',
    { count: 330, limits: { budget: { candidates: 100 } } },
    { models: { speaker: { path: model } } },
  );
  await under(
    'one',
    async () => {
      await waiting(handle, 'ask');
      speaks = false;
      await handle.executeUpdate('setBudget', { args: [{ candidates: 200 }] });
    },
    await on.pool(models),
  );
  await upgrade();
  speaks = true;
  const asked = replies;
  await under(
    'two',
    async () => {
      await waiting(now(handle), 'ask');
      await now(handle).executeUpdate('approve', { args: [{}] });
      t.is((await resultOf(handle)).data.rows, 200);
    },
    await on.pool(models),
  );
  t.is(replies - asked, 100);
});

test.serial('a step that has failed for good is tried again by the new code', async (t) => {
  const broken = join(on.services.home, 'broken');
  process.env['BACKSPIN_TOY_BROKEN'] = broken;
  await writeFile(broken, '');
  const handle = await on.start('failed', 'toy', { ...parameters, count: 41 });
  await under('one', () => waiting(handle, 'r1/other/fragile'));
  await rm(broken);
  await upgrade();
  await under('two', () => resultOf(handle));
  t.deepEqual((await recordOf('failed')).attention, []);
});

test.serial('a source that was read in stays, whatever its file is by now, unless a newer version reads it', async (t) => {
  const file = join(on.services.home, 'numbers.jsonl');
  const lines = (count: number) => writeFile(file, Array.from({ length: count }, (_, n) => `${JSON.stringify({ n })}\n`).join(''));
  const source = { numbers: { source: 'toy.file', params: { path: file }, folder: '/' } };
  const rowsAfter = async (name: string, services?: typeof on.services) => {
    await lines(20);
    const handle = await on.start(name, 'toy', { ...parameters, minimum: 1000 }, { data: source });
    const stepOf = async () => (await on.services.store.experiment(name))?.steps.find(({ path }) => path === 'data-numbers');
    await under('one', async () => {
      await waiting(handle, 'r1/gate');
      await until(async () => (await stepOf())?.result); // it is read beside what comes to the gate
    });
    await lines(30);
    await upgrade(services);
    await under('two', async () => {
      await waiting(now(handle), 'r1/gate');
      await now(handle).executeUpdate('giveUp', { args: [{}] });
      await now(handle)
        .result()
        .catch(() => {});
    });
    await until(() => on.services.store.experiment(name).then((found) => found?.state === 'failed'));
    return ((await stepOf())!.result as DatasetRef).rows;
  };
  t.is(await rowsAfter('read'), 20);
  const newer = async (...modules: Parameters<typeof on.services.registry>) => ({
    ...(await on.services.registry(...modules)),
    version: () => 2,
  });
  t.is(await rowsAfter('reread', { ...on.services, registry: newer }), 30);
});

test.serial('an upgrade that died after its first word is done again; under the files of before, the experiment goes on too', async (t) => {
  speaks = false;
  for (const [name, build, count] of [
    ['again', 'two', 310],
    ['back', 'one', 320],
  ] as const) {
    const handle = await on.start(name, 'chatter', { count }, { models: { speaker: { path: model } } });
    const stage = async () => (await now(handle).describe()).raw.pendingChildren?.find(({ workflowId }) => workflowId?.includes('toy.ask'));
    await under('one', () => until(stage), await on.pool(models));
    await on.env.client.workflow.getHandle((await stage())!.workflowId!).terminate();
    if (build === 'two') t.deepEqual(await upgrade(), [name]);
    speaks = true;
    await under(build, async () => t.is((await resultOf(handle)).data.rows, count), await on.pool(models));
    speaks = false;
  }
});

test.serial('an experiment that was cancelled while nothing was up is closed, and not begun anew', async (t) => {
  const handle = await on.start('cancelled', 'toy', { ...parameters, minimum: 1000, count: 51 });
  const recorded = async () => (await on.services.store.experiment('cancelled'))?.state === 'attention';
  await under('one', () => until(recorded));
  await handle.cancel();
  await upgrade();
  t.is((await now(handle).describe()).status.name, 'TERMINATED');
  t.is((await on.services.store.experiment('cancelled'))!.state, 'cancelled');
});
