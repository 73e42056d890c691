/** What `status` and `watch` say that running steps wait for, on a real Temporal server. */
import test from 'ava';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { waitsOf, type Waits } from '../../experiments/waits.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { SERVING, site, until, type Site } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

const speaker = { path: resolve(import.meta.dirname, '../../examples/textworld/base/plain') };
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');

/** Once what a step of this experiment waits for is of this kind. */
const waiting = <S extends Waits['state']>(
  state: S,
  handle: WorkflowHandle,
  others: readonly WorkflowHandle[] = [],
  fits: (waits: Extract<Waits, { state: S }>) => boolean = () => true,
) =>
  until(async () => {
    const records = await Promise.all(others.map(view));
    const all = [...(await waitsOf(on.env, await view(handle), async () => records)).values()];
    return all.find((waits): waits is Extract<Waits, { state: S }> => waits.state === state && fits(waits as never));
  });
const end = async (...handles: readonly WorkflowHandle[]) => {
  for (const handle of handles) await handle.cancel();
  await Promise.allSettled(handles.map((handle) => handle.result()));
};

test.serial('a step says that its server starts, and one behind it for which pool it waits and who holds that', async (t) => {
  await on.working(() =>
    on.onDevices(1, 600_000, async () => {
      const more = (seed: number) => ({ seed, models: { speaker }, serving: { ...SERVING, slots: 4 } });
      const first = await on.start('first', 'echo', { count: 400, rounds: 1 }, more(1));
      const starting = await waiting('starting', first);
      t.is(starting.what, 'the server');
      t.true(Math.abs(Date.now() - Date.parse(starting.since)) < 60_000);
      const second = await on.start('second', 'echo', { count: 400, rounds: 1 }, more(2));
      const queued = await waiting('queued', second, [first], ({ pool }) => pool === 'cpu');
      t.deepEqual(queued.heldBy, ['r1/ask of first']);
      await end(second, first);
    }),
  );
});

/** Models that never answer. */
function silent() {
  const chat = (_: string, __: object, ___: object, { signal }: { signal: AbortSignal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  return { concurrency: 8, of: () => ({ served: 'speaker', client: { chat } }) } as never;
}
const asking = (handle: WorkflowHandle) =>
  until(async () => (await view(handle)).steps.some(({ path, stepKey }) => path === 'ask' && stepKey !== null));

test.serial('a step that another experiment computes says which', async (t) => {
  const model = await fakeModel('silent');
  await on.working(
    async () => {
      const owner = await on.start('owner', 'chatter', { count: 3 }, { models: { speaker: { path: model } } });
      await asking(owner);
      const guest = await on.start('guest', 'chatter', { count: 3 }, { models: { speaker: { path: model } } });
      const { experiment } = await waiting('elsewhere', guest);
      t.is(experiment, 'owner');
      await end(guest, owner);
    },
    await on.pool(silent()),
  );
});

test.serial('the store knows each step as soon as it begins and ends, whatever its record was when it was written last', async (t) => {
  const model = await fakeModel('quiet');
  await on.working(
    async () => {
      const handle = await on.start('known', 'chatter', { count: 4 }, { models: { speaker: { path: model } } });
      await asking(handle);
      const { store } = on.services;
      await store.putExperiment({ ...(await view(handle)), steps: [] });
      const { steps } = (await store.experiment('known'))!;
      const told = (await view(handle)).steps.map(({ fingerprint, ...step }) => step);
      t.deepEqual(steps.toSorted(byPath), told.toSorted(byPath), 'as the root tells of them');
      t.deepEqual(
        steps.toSorted(byPath).map(({ path, state }) => `${path} ${state}`),
        ['ask running', 'data-numbers completed', 'model-speaker completed'],
      );
      await end(handle);
    },
    await on.pool(silent()),
  );
});
const byPath = (a: { readonly path: string }, b: { readonly path: string }) => (a.path < b.path ? -1 : 1);

test.serial('a step that fails again and again says how often and why', async (t) => {
  const { store } = on.services;
  const { putOutput } = store;
  store.putOutput = () => Promise.reject(new BackspinError('DiskFull', 'The share is not mounted.'));
  try {
    await on.working(async () => {
      const handle = await on.start('failing', 'toy', { rounds: 1, minimum: 1, by: 31 });
      const failing = await waiting('failing', handle);
      t.is(failing.why, 'The share is not mounted.');
      t.true(failing.attempts >= 2);
      await end(handle);
    });
  } finally {
    store.putOutput = putOutput;
  }
});

test.serial('without a data worker a step says that it waits for one', async (t) => {
  const orchestrator = await on.orchestrator();
  await orchestrator.runUntil(async () => {
    const handle = await on.start('undone', 'toy', { rounds: 1, minimum: 1, by: 37 });
    t.is((await waiting('queued', handle)).pool, null);
    await handle.terminate();
  });
});

test.serial('of a paused experiment every step that has begun is paused', async (t) => {
  await on.working(async () => {
    const handle = await on.start('resting', 'toy', { rounds: 1, minimum: 1, by: 41 });
    await handle.executeUpdate('pause');
    await waiting('paused', handle);
    await end(handle);
  });
  t.pass();
});

async function fakeModel(name: string): Promise<string> {
  const model = join(on.services.home, name);
  await mkdir(model);
  for (const file of ['config.json', 'model.safetensors']) await writeFile(join(model, file), '{}');
  return model;
}
