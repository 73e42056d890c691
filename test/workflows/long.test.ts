/** What an experiment of very many steps costs: no message of it may grow with them, or one day it is too long for the server. */
import test from 'ava';
import { progressOf } from '../../experiments/progress.ts';
import { experiment } from '../support/store.ts';
import { site, until, type Site } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

const [ROUNDS, STEPS] = [110, 10];
/** Bytes that any event of a history has at most, and the events of a run. */
const [BYTES, EVENTS] = [450_000, 4096];

test.serial(
  'an experiment of 1,100 steps: no event grows with them, no run is long, nothing is done twice, and its record has them all',
  async (t) => {
    t.timeout(1_200_000);
    const { store } = on.services;
    const { client } = on.env;
    await on.working(async () => {
      const handle = await on.start('crowd', 'crowd', { rounds: ROUNDS, by: STEPS, count: 3 });
      const before = await until(() => store.experiment('crowd').then((record) => record && record.steps.length > 60 && record));
      const { record: live } = await progressOf(on.env as never, before);
      t.true(live.steps.length >= before.steps.length);
      t.deepEqual(
        live.steps.slice(0, before.steps.length).map(({ path }) => path),
        before.steps.map(({ path }) => path),
      );
      await handle.result();

      const asked: string[] = [];
      let runs = 0;
      for await (const { runId } of client.workflow.list({ query: `WorkflowId = "${handle.workflowId}"` })) {
        const { events } = await client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
        runs++;
        t.true(events!.length < EVENTS, `a run has ${events!.length} events`);
        for (const event of events!) {
          const bytes = JSON.stringify(event).length;
          if (bytes > BYTES) t.fail(`event ${String(event.eventId)} of run ${runs} has ${bytes} bytes`);
          const activity = event.activityTaskScheduledEventAttributes;
          if (activity?.activityType?.name === 'compute') asked.push(activity.activityId!);
        }
      }
      t.true(runs > 2, `${runs} runs`);
      t.is(asked.length, ROUNDS * STEPS + 1);
      t.is(new Set(asked).size, asked.length);
      const { steps, state } = await until(() => store.experiment('crowd').then((record) => record?.state === 'completed' && record));
      t.is(state, 'completed');
      t.is(steps.length, ROUNDS * STEPS + 1);
      t.true(steps.every((step) => step.state === 'completed' && step.result !== null));
    });
  },
);

test.serial('a record that is lost or damaged while its experiment runs is written anew, as a whole', async (t) => {
  const { store } = on.services;
  await on.working(async () => {
    const handle = await on.start('lost', 'toy', { rounds: 6, minimum: 1, by: 1_000_003 });
    const some = await until(() => store.experiment('lost').then((record) => record && record.steps.length > 8 && record));
    await store.putExperiment(experiment('lost', { state: 'running', workflowId: handle.workflowId }));
    await handle.result();
    const { steps, state } = (await store.experiment('lost'))!;
    t.is(state, 'completed');
    const paths = new Set(steps.map(({ path }) => path));
    t.true(some.steps.every(({ path }) => paths.has(path)));
    t.is(steps.length, new Set(steps.map(({ path }) => path)).size);
  });
});
