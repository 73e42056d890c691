/** Leases that are lost for good: what becomes of the step, of its stage, and of the other leases. */
import test from 'ava';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { queues, workflowId } from '../../schemas/names.ts';
import { serving } from '../../schemas/serving.ts';
import { poolActivities } from '../support/pool.ts';
import { makeModel, SERVING, site, type Site, until } from '../support/temporal.ts';

let on: Site;
let model: string;
test.before(async () => {
  on = await site();
  model = await makeModel(on.services.home);
});
test.after.always(async () => on?.close());

const python = join(import.meta.dirname, '../support/fake-vllm.mjs');
/** Asks a fake of vLLM that has these arguments. */
const chatter = (name: string, more: object) =>
  on.start(
    name,
    'chatter',
    { count: 600 },
    {
      models: { speaker: { path: model } },
      serving: serving.parse({ engine: 'vllm', python, version: '0.0.1', slots: 4, arguments: more }),
    },
  );
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const standing = (handle: WorkflowHandle) =>
  until(async () => {
    const now = await view(handle);
    return now.state === 'attention' && now;
  });
/** How the stage of the step `ask` ended. */
async function stageOf({ steps }: ExperimentRecord) {
  const { stepKey } = steps.find(({ path }) => path === 'ask')!;
  return (await on.env.client.workflow.getHandle(workflowId.stage(on.services.store.id, 'toy.ask', stepKey!)).describe()).status.name;
}

for (const [what, more, says] of [
  ['refuses to start', { 'no-such-thing': true }, /^ConfigError: .*unrecognized arguments: --no-such-thing/],
  ['ends three times before it answers', { 'crash-at': 'start' }, /^CrashLoop: The model server ended 3 times .*out of luck/s],
  ['ends three times when it is asked', { 'crash-at': 'chat' }, /^CrashLoop: The model server ended 3 times .*out of luck/s],
] as const)
  test.serial(`a model server that ${what} brings its step to attention with that sentence, its stage over`, async (t) => {
    t.timeout(1_200_000);
    await on.working(() =>
      on.onDevices(1, 600_000, async () => {
        const handle = await chatter(`lost-${Object.values(more).join('')}`, more);
        const record = await standing(handle);
        t.like(record.attention[0], { path: 'ask', kind: 'step' });
        t.regex(record.attention[0]!.reason, says);
        t.is(await stageOf(record), 'CANCELLED');
        await handle.executeUpdate('giveUp', { args: [{}] });
        await t.throwsAsync(handle.result());
      }),
    );
  });

test.serial(
  'a step goes on with the leases that it has left, and says which was lost; with none left it stands at attention',
  async (t) => {
    const lost = { 'a broken card': new Set([1]), 'no card': new Set([0, 1]) };
    const client = { chat: async () => ({ reply: { text: 'one', finish: 'stop' }, tokens: 1 }) };
    const models = { concurrency: 8, of: () => ({ served: 'speaker', client }) } as never;
    let broken = lost['a broken card'];
    let gone = Promise.withResolvers<void>();
    const common = { connection: on.env.nativeConnection, namespace: on.env.namespace ?? 'default' };
    const { serve } = poolActivities({ ...common, services: on.services }, () => models);
    const worker = await Worker.create({
      ...common,
      taskQueue: queues.pool(on.services.store.id, 'cpu'),
      maxHeartbeatThrottleInterval: '1s', // a lease hears with a beat that it is given back
      activities: {
        async serve(...[call, context, stepKey, lease, replica]: [...Parameters<typeof serve>, number]) {
          if (!broken.has(replica)) {
            await gone.promise;
            return serve(call, context, stepKey, lease);
          }
          throw ApplicationFailure.nonRetryable(`the card of lease ${replica} is broken`, 'DeviceBroken');
        },
      },
    });
    const start = (name: string, count: number) =>
      on.start(name, 'chatter', { count }, { models: { speaker: { path: model } }, serving: { ...SERVING, replicas: 2 } });
    await on.working(async () => {
      const one = await start('one-left', 600);
      const said = await until(async () => (await view(one)).notices[0]);
      t.is(
        said,
        'One of the 2 leases of ask is lost for good, and the step goes on with the others: DeviceBroken: the card of lease 1 is broken',
      );
      gone.resolve();
      await one.result();
      broken = lost['no card'];
      gone = Promise.withResolvers<void>();
      const none = await start('none-left', 601);
      const record = await standing(none);
      t.regex(record.attention[0]!.reason, /DeviceBroken: the card of lease [01] is broken/);
      t.is(await stageOf(record), 'CANCELLED');
      broken = lost['a broken card'];
      gone.resolve();
      await none.executeUpdate('retryStep', { args: [{}] });
      await none.result();
    }, [worker]);
  },
);
