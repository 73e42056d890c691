/** Every experiment ends: a long one, one whose recipe is wrong, one whose record cannot be written. */
import test from 'ava';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { progressOf } from '../../experiments/progress.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { experiment } from '../support/store.ts';
import { replays, site, until, type Site } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const ended = (name: string, state: ExperimentRecord['state']) =>
  until(() => on.services.store.experiment(name).then((record) => record?.state === state && record));
const causeOf = (error: unknown) => (error as { cause?: Error & { type?: string } }).cause!;
async function runsOf({ workflowId }: WorkflowHandle) {
  const runs = [];
  for await (const { runId, historyLength } of on.env.client.workflow.list({ query: `WorkflowId = "${workflowId}"` }))
    runs.push({ runId, historyLength });
  return runs;
}
/** Every record of an experiment that is written while `body` runs. */
async function written(name: string, body: () => Promise<void>): Promise<ExperimentRecord[]> {
  const { store } = on.services;
  const { putExperiment } = store;
  const records: ExperimentRecord[] = [];
  store.putExperiment = async (record) => {
    if (record.name === name) records.push(record);
    return putExperiment.call(store, record);
  };
  try {
    await body();
  } finally {
    store.putExperiment = putExperiment;
  }
  return records;
}
const completed = ({ steps }: ExperimentRecord) => steps.filter(({ state }) => state === 'completed').length;

test.serial('a recipe of 100 rounds ends, each of its runs comes further, and its record never goes back', async (t) => {
  t.timeout(1_200_000);
  const limit = 300;
  await on.working(async () => {
    const records = await written('hundred', async () => {
      const handle = await on.start('hundred', 'toy', { rounds: 100, minimum: 1, by: 1_000_003 }, { historyLimit: limit });
      await handle.result();
      const runs = await runsOf(handle);
      t.true(runs.length > 10, `${runs.length} runs`);
      for (const { historyLength } of runs) t.true(historyLength < 2 * limit, `a run has ${historyLength} events`);
    });
    const last = new Map<string, number>();
    for (const [index, record] of records.entries()) {
      const before = records[index - 1];
      last.set(record.runId!, completed(record));
      if (!before) continue;
      t.true(completed(record) >= completed(before), `${completed(record)} steps after ${completed(before)}`);
      t.true((record.round ?? 0) >= (before.round ?? 0));
    }
    const each = [...last.values()];
    t.true(last.size > 10);
    t.true(
      each.every((count, index) => index === 0 || count > each[index - 1]!),
      each.join(' '),
    );
    t.is((await ended('hundred', 'completed')).round, 100);
  });
});

const ways: readonly (readonly [how: string, says: RegExp])[] = [
  ['error', /^the parameters do not fit$/],
  ['type error', /reading 'nothing'/],
  ['error of a class of its own', /^out of range$/],
  ['string', /^just a string$/],
  ['nothing', /^undefined$/],
  ['rule', /^the rule is wrong$/],
  ['answer', /BigInt/],
  ['loop', /^in the midst of a round$/],
];
test.serial('whatever a recipe or a rule throws ends the experiment as failed, with its sentence', async (t) => {
  await on.working(async () => {
    for (const [index, [how, says]] of ways.entries()) {
      const name = `faulty-${index}`;
      const handle = await on.start(name, 'faulty', { how });
      t.regex(causeOf(await t.throwsAsync(handle.result())).message, says, how);
      t.regex((await ended(name, 'failed')).failure!, says, how);
      t.is((await handle.describe()).status.name, 'FAILED');
    }
  });
});

test.serial('an experiment whose own code fails its task, which no recipe can be kept from, says so', async (t) => {
  await on.working(async () => {
    const handle = await on.start('floating', 'faulty', { how: 'floating' });
    const record = experiment('floating', { state: 'running', workflowId: handle.workflowId });
    const { stale } = await until(async () => {
      const now = await progressOf(on.env as never, record);
      return now.stale?.includes('its own code') && now;
    });
    t.regex(stale!, /^its workflow fails by its own code.* tried \d+ times.* stands still until that is mended$/);
    await handle.terminate();
  });
});

test.serial('a record that cannot be written is told and holds nothing up; once it can, it is written', async (t) => {
  const { store } = on.services;
  const { putExperiment } = store;
  await on.working(async () => {
    store.putExperiment = () => Promise.reject(Object.assign(new Error('permission denied'), { code: 'EACCES' }));
    const handle = await on.start('unwritten', 'toy', { rounds: 2, minimum: 1, by: 23 });
    const told = await until(async () => {
      const now = await view(handle);
      return now.attention.length > 0 && now;
    });
    t.like(told.attention[0], { path: 'record', kind: 'space' });
    t.regex(told.attention[0]!.reason, /cannot be written to the store: Error: permission denied/);
    await until(async () => (await view(handle)).state === 'completed');
    t.is((await handle.describe()).status.name, 'RUNNING', 'it ends when the store knows');
    store.putExperiment = putExperiment;
    await handle.result();
    t.deepEqual((await ended('unwritten', 'completed')).attention, []);
  });
});

test.serial('a question that is asked twice in a scope is answered twice, in every run', async (t) => {
  await on.working(async () => {
    const handle = await on.start('doubtful', 'doubtful', {}, { historyLimit: 5 });
    await handle.result();
    const { steps, decisions } = await ended('doubtful', 'completed');
    t.is(steps.at(-1)!.path, 'sieve-false-true');
    t.deepEqual(
      Object.entries(decisions).map(([question, answer]) => [question.split(' ')[0], answer]),
      [
        ['large', false],
        ['large~2', true],
      ],
    );
    t.true((await runsOf(handle)).length > 1);
  });
});

test.serial(
  'while a step stands at attention the experiment continues as new, and the step stands on without being tried again',
  async (t) => {
    const broken = join(tmpdir(), `broken-ends-${process.pid}`);
    process.env['BACKSPIN_TOY_BROKEN'] = broken;
    await writeFile(broken, '');
    await on.working(async () => {
      const handle = await on.start('standing', 'braid', { rounds: 12, by: 29 }, { historyLimit: 60 });
      const now = await until(async () => {
        const seen = await view(handle);
        return seen.steps.some(({ path, state }) => path === 'sieve-12' && state === 'completed') && seen;
      });
      t.deepEqual(
        now.attention.map(({ path, reason }) => [path, reason]),
        [['aside/fragile', 'ConfigError: the toy is broken']],
      );
      const runs = await runsOf(handle);
      t.true(runs.length > 2, `${runs.length} runs`);
      let opened = 0;
      for (const { runId } of runs) {
        const { events } = await on.env.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
        opened += events!.filter((event) => event.activityTaskScheduledEventAttributes?.activityId === 'open aside/fragile').length;
      }
      t.is(opened, 1);
      await rm(broken);
      await handle.executeUpdate('retryStep', { args: [{}] });
      await handle.result();
    });
  },
);

test.serial('the store knows of attention as long as it lasts, and no longer', async (t) => {
  const broken = process.env['BACKSPIN_TOY_BROKEN']!;
  await writeFile(broken, '');
  await on.working(async () => {
    const records = await written('mended', async () => {
      const handle = await on.start('mended', 'braid', { rounds: 1, by: 37, count: 21 });
      await until(async () => (await on.services.store.experiment('mended'))?.attention.length === 1);
      await rm(broken);
      await handle.executeUpdate('retryStep', { args: [{}] });
      await handle.result();
    });
    t.deepEqual(
      records.map(({ state, attention }) => [state, attention.length]),
      [
        ['attention', 1],
        ['running', 0],
        ['completed', 0],
      ],
    );
  });
});

test.serial('what has run replays, long and left in the midst of a wait', (t) => replays(t, on, ['standing']));
