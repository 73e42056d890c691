/** A sweep: one parent, an experiment for each combination, and every equal step once. */
import { join } from 'node:path';
import test from 'ava';
import { configDigest } from '../../experiments/config.ts';
import { currentSweep, startSweep } from '../../experiments/start-sweep.ts';
import type { Sweep } from '../../experiments/sweep.ts';
import { meanOf } from '../../experiments/sweep-table.ts';
import { contextOf } from '../../recipe/inputs.ts';
import { workflowId } from '../../schemas/names.ts';
import { grantAll } from '../../steps/grants.ts';
import { sweepOf } from '../../store/sweeps.ts';
import { makeModel, site, until, type Site } from '../support/temporal.ts';

let on: Site;
let model: string;
let calls: number;
const models = {
  concurrency: 8,
  of: () => ({
    served: 'speaker',
    client: {
      chat: async () => {
        calls++;
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
  calls = 0;
});
test.after.always(async () => on?.close());

const COUNT = 12;
/** Three thresholds and three seeds. */
async function nine(name: string): Promise<Sweep> {
  const members = [2, 5, 8].flatMap((minimum) =>
    [0, 1, 2].map((seed) => {
      const parameters = { count: COUNT, minimum, by: 3 };
      const bound = on.config(`${name}-minimum-${minimum}-seed-${seed}`, 'chooser', parameters, {
        seed,
        models: { speaker: { path: join(model) } },
      });
      return { experiment: { bound, digest: configDigest(bound) }, values: { 'parameters.minimum': minimum }, seed };
    }),
  );
  for (const { experiment } of members) await grantAll(on.services.store, contextOf(experiment.bound));
  return { name, members };
}
const start = (sweep: Sweep, completed: readonly string[] = []) =>
  startSweep(on.env.client, on.services.store, sweep, new Set(completed), async () => {});
const handleOf = (name: string) => on.env.client.workflow.getHandle(workflowId.sweep(on.services.store.id, name));

test.serial('three thresholds and three seeds: each judge call is paid once, and a table has means over the seeds', async (t) => {
  t.timeout(1_200_000);
  const sweep = await nine('grid');
  await on.working(
    async () => {
      t.is(await start(sweep), 'started');
      t.is(await start(sweep), 'attached');
      await t.throwsAsync(start({ ...sweep, members: sweep.members.slice(1) }), { name: 'NameInUse' });
      const states = (await handleOf('grid').result()) as Record<string, string>;
      t.deepEqual(Object.values(states), Array(9).fill('completed'));
      t.is(calls, COUNT);
      const children = sweep.members.map(({ experiment }) => workflowId.experiment(on.services.store.id, experiment.bound.name));
      const { raw } = await on.env.client.workflow.getHandle(children[0]!).describe();
      t.is(raw.workflowExecutionInfo?.parentExecution?.workflowId, handleOf('grid').workflowId);
    },
    await on.pool(models),
  );
  const { members, rows } = await currentSweep(on.services.store, (await sweepOf(on.services.store, 'grid'))!, undefined, null);
  t.is(members.length, 9);
  t.deepEqual(
    rows.map(({ values, metrics }) => [values['parameters.minimum'], metrics['rows']]),
    [
      [2, { mean: 7, low: 7, high: 7, of: 3 }],
      [5, { mean: 5, low: 5, high: 5, of: 3 }],
      [8, { mean: 3, low: 3, high: 3, of: 3 }],
    ],
  );
});

test.serial('experiments that were completed before are not started again', async (t) => {
  const sweep = await nine('grid');
  await on.working(async () => {
    await start(
      sweep,
      sweep.members.map(({ experiment }) => experiment.bound.name),
    );
    const states = (await handleOf('grid').result()) as Record<string, string>;
    t.deepEqual(Object.values(states), Array(9).fill('completed'));
  });
  t.is(calls, 0);
});

test.serial('a cancelled sweep cancels its experiments, and ends when they have', async (t) => {
  const sweep = await nine('stopped');
  const closed = { ...sweep, members: sweep.members.slice(0, 2).map((member) => paused(member)) };
  await on.working(async () => {
    await start(closed);
    const handles = closed.members.map(({ experiment }) =>
      on.env.client.workflow.getHandle(workflowId.experiment(on.services.store.id, experiment.bound.name)),
    );
    for (const handle of handles)
      await until(() =>
        handle.describe().then(
          () => true,
          () => false,
        ),
      );
    await handleOf('stopped').cancel();
    await t.throwsAsync(handleOf('stopped').result());
    for (const handle of handles) t.is((await handle.describe()).status.name, 'CANCELLED');
  });
});
/** Waits at a pool that has no worker. */
const paused = (member: Sweep['members'][number]) => {
  const bound = { ...member.experiment.bound, parameters: { ...member.experiment.bound.parameters, count: 3 } };
  bound.data = { numbers: { ...bound.data['numbers']!, params: { count: 3 } } };
  return { ...member, experiment: { bound, digest: configDigest(bound) } };
};

test('an interval over seeds is that of Student, and one experiment has none', (t) => {
  const { mean, low, high } = meanOf([1, 2, 3]);
  t.is(mean, 2);
  t.is((high! - mean).toFixed(3), '2.484'); // t(2) = 4.303, deviation 1
  t.is(((low! + high!) / 2).toFixed(9), '2.000000000');
  t.deepEqual(meanOf([5]), { mean: 5, low: null, high: null, of: 1 });
});
