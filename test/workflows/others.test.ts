/** Two experiments want one step: the second waits, says for whom, costs nothing, and takes the step over where the first leaves it. */
import test from 'ava';
import type { WorkflowHandle } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { workflowId } from '../../schemas/names.ts';
import { makeModel, SERVING, site, type Site, until } from '../support/temporal.ts';

let on: Site;
let model: string;
/** Whether the model answers. */
let speaks: PromiseWithResolvers<void>;
const models = {
  concurrency: 8,
  of: () => ({
    served: 'speaker',
    client: {
      async chat(_: string, __: unknown, ___: object, { signal }: { signal: AbortSignal }) {
        await Promise.race([speaks.promise, new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason as Error)))]);
        return { reply: { text: 'one', finish: 'stop' }, tokens: 1 };
      },
    },
  }),
} as never;

test.before(async () => {
  on = await site();
  model = await makeModel(on.services.home);
});
test.beforeEach(() => {
  speaks = Promise.withResolvers();
});
test.after.always(async () => on?.close());

type Start = Parameters<Site['start']>;
const start = (name: string, recipe: string, count: number, parameters: object = {}, more: Start[3] = {}) =>
  on.start(name, recipe, { count, ...parameters }, { models: { speaker: { path: model } }, ...more });
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const step = async (handle: WorkflowHandle, path: string) => (await view(handle)).steps.find((one) => one.path === path);
const waitingFor = (handle: WorkflowHandle, path = 'ask') => until(async () => (await step(handle, path))?.computedBy);
const begun = (handle: WorkflowHandle) =>
  until(async () => {
    const { raw } = await handle.describe();
    return raw.pendingActivities?.some(({ activityId, state }) => activityId === 'serve ask' && state === 2);
  });
const working = async (body: () => Promise<void>, more?: readonly Worker[]) => on.working(body, more ?? (await on.pool(models)));
const rowsOf = async (handle: WorkflowHandle) => ((await handle.result()) as { data: DatasetRef }).data.rows;

test.serial('it says which experiment computes the step, adds no event while it waits, and has the result', async (t) => {
  await working(async () => {
    const first = await start('first', 'chatter', 300);
    await begun(first);
    const second = await start('second', 'chatter', 300);
    t.is(await waitingFor(second), 'another experiment: first, its step ask');
    const attempt = async () =>
      (await second.describe()).raw.pendingActivities?.find(({ activityId }) => activityId === 'wait ask')?.attempt ?? 0;
    const { historyLength } = await second.describe();
    await until(async () => (await attempt()) >= 4);
    t.is((await second.describe()).historyLength, historyLength);
    t.true(historyLength < 50, `${historyLength} events`);
    speaks.resolve();
    t.is(await rowsOf(second), 300);
    t.is(await rowsOf(first), 300);
    t.is((await step(second, 'ask'))!.computedBy, undefined);
  });
});

for (const [how, count, leave] of [
  ['cancelled', 310, (handle: WorkflowHandle) => handle.cancel()],
  ['terminated', 311, (handle: WorkflowHandle) => handle.terminate()],
  ['paused', 312, (handle: WorkflowHandle) => handle.executeUpdate('pause')],
] as const)
  test.serial(`a step whose experiment is ${how} is taken over`, async (t) => {
    await working(async () => {
      const first = await start(`first-${how}`, 'chatter', count);
      await begun(first);
      const second = await start(`second-${how}`, 'chatter', count);
      await waitingFor(second);
      await leave(first);
      speaks.resolve();
      t.is(await rowsOf(second), count);
      await first.cancel().catch(() => {});
    });
  });

test.serial('a step whose experiment waits for a pool without a worker is taken over by one that has a pool, and shared', async (t) => {
  await working(async () => {
    speaks.resolve();
    const first = await start('far', 'chatter', 320, {}, { serving: { ...SERVING, pool: 'far' } });
    await until(async () => (await step(first, 'ask'))?.stepKey);
    const second = await start('near', 'chatter', 320);
    t.is(await rowsOf(second), 320);
    t.is(await rowsOf(first), 320);
  });
});

test.serial('an experiment continues as new while one of its steps waits for another experiment, and waits on', async (t) => {
  await working(async () => {
    const first = await start('owner', 'chatter', 330);
    await begun(first);
    const second = await start('waiter', 'braid', 330, { rounds: 12, by: 31 }, { historyLimit: 60 });
    await until(async () => (await step(second, 'sieve-12'))?.state === 'completed');
    t.is(await waitingFor(second, 'aside/ask'), 'another experiment: owner, its step ask');
    const { runId } = await second.describe();
    t.not(runId, second.firstExecutionRunId);
    speaks.resolve();
    await second.result();
    t.is(await rowsOf(first), 330);
  });
});

test.serial('a stage that somebody cancels is begun again', async (t) => {
  await working(async () => {
    const handle = await start('cut-off', 'chatter', 340);
    await begun(handle);
    const { stepKey } = (await step(handle, 'ask'))!;
    const stage = on.env.client.workflow.getHandle(workflowId.stage(on.services.store.id, 'toy.ask', stepKey!));
    const { runId } = await stage.describe();
    await stage.cancel();
    await until(async () => (await stage.describe()).runId !== runId);
    speaks.resolve();
    t.is(await rowsOf(handle), 340);
  });
});
