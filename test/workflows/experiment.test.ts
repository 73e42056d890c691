import test from 'ava';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { workflowId } from '../../schemas/names.ts';
import { replays, site, until, type Site } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

const parameters = { rounds: 3, minimum: 1, by: 3 };
const view = (handle: { query(name: string): Promise<unknown> }) => handle.query('progress') as Promise<ExperimentRecord>;
const runsOf = async (workflowId: string) => {
  const runs = [];
  for await (const run of on.env.client.workflow.list({ query: `WorkflowId = "${workflowId}"` })) runs.push(run);
  return runs;
};

test.serial('continuing as new in mid-round gives the same results and repeats no step', async (t) => {
  await on.working(async () => {
    const whole = await on.start('whole', 'toy', parameters);
    const expected = (await whole.result()) as { data: DatasetRef };
    const split = await on.start('split', 'toy', { ...parameters, label: 'same steps' }, { historyLimit: 20 });
    t.deepEqual(await split.result(), expected);
    const first = await until(() => on.services.store.experiment('whole').then((record) => record?.state === 'completed' && record));
    const second = await until(() => on.services.store.experiment('split').then((record) => record?.state === 'completed' && record));
    t.deepEqual(
      second.steps.map(({ path, stepKey }) => [path, stepKey]),
      first.steps.map(({ path, stepKey }) => [path, stepKey]),
    );
    t.true(
      second.steps.every((step) => step.cached),
      'what another experiment did is not done again',
    );
    t.true((await runsOf(split.workflowId)).length > 1, 'it really continued as new');
    t.true(first.steps.some((step) => !step.cached));
  });
});

test.serial('a run of its own that continues as new performs each step once', async (t) => {
  await on.working(async () => {
    const handle = await on.start('own', 'toy', { ...parameters, by: 7 }, { historyLimit: 20 });
    await handle.result();
    const record = await until(() => on.services.store.experiment('own').then((found) => found?.state === 'completed' && found));
    const fresh = record.steps.filter((step) => step.path !== 'data-numbers' && step.path !== 'double');
    t.true(
      fresh.every((step) => !step.cached),
      'a step that came from the ledger still counts as performed here',
    );
    t.true((await runsOf(handle.workflowId)).length > 1);
  });
});

test.serial('a gate that is short waits at attention, survives a restart of every worker, and goes on when approved', async (t) => {
  const handle = await on.start('gated', 'toy', { ...parameters, rounds: 1, minimum: 1000 });
  const waiting = await on.working(() =>
    until(async () => {
      const now = await view(handle);
      return now.state === 'attention' && now;
    }),
  );
  t.like(waiting.attention[0], { path: 'r1/gate', kind: 'gate' });
  t.regex(waiting.attention[0]!.reason, /at least 1000 records and has \d+/);
  await on.working(async () => {
    const refused = await t.throwsAsync(handle.executeUpdate('approve', { args: [{ path: 'nowhere' }] }));
    t.regex(String((refused as { cause?: Error }).cause?.message), /These do: r1\/gate/);
    await handle.executeUpdate('approve', { args: [{}] });
    await handle.result();
  });
});

test.serial('a step that fails for good stands at attention while other arms go on, and ends well when retried', async (t) => {
  const broken = join(tmpdir(), `broken-${process.pid}`);
  process.env['BACKSPIN_TOY_BROKEN'] = broken;
  await writeFile(broken, '');
  await on.working(async () => {
    const handle = await on.start('failing', 'toy', { ...parameters, rounds: 1, by: 5 });
    const standing = await until(async () => {
      const now = await view(handle);
      return now.state === 'attention' && now.steps.some((step) => step.path === 'r1/select' && step.state === 'completed') && now;
    });
    t.is(standing.attention[0]!.path, 'r1/other/fragile');
    t.regex(standing.attention[0]!.reason, /ConfigError: the toy is broken/);
    await rm(broken);
    await handle.executeUpdate('retryStep', { args: [{ path: 'r1/other/fragile' }] });
    await handle.result();
    t.pass();
  });
});

test.serial('giving a step up fails the experiment with the reason, and only then', async (t) => {
  const broken = process.env['BACKSPIN_TOY_BROKEN']!;
  await writeFile(broken, '');
  await on.working(async () => {
    const handle = await on.start('given-up', 'toy', { ...parameters, rounds: 1, by: 4 });
    await until(async () => (await view(handle)).state === 'attention');
    await handle.executeUpdate('giveUp', { args: [{}] });
    const error = await t.throwsAsync(handle.result());
    t.regex(String((error as { cause?: Error }).cause?.message), /r1\/other\/fragile was given up: ConfigError: the toy is broken/);
    const record = await until(() => on.services.store.experiment('given-up').then((found) => found?.state === 'failed' && found));
    t.regex(record.failure!, /given up/);
  });
  await rm(broken);
});

test.serial('a paused experiment does nothing until it is resumed, and says so', async (t) => {
  const handle = await on.start('paused', 'toy', { ...parameters, rounds: 2, by: 11 });
  await on.working(async () => {
    await handle.executeUpdate('pause');
    t.is((await view(handle)).state, 'paused');
    await handle.executeUpdate('resume');
    await handle.result();
    const again = await t.throwsAsync(handle.executeUpdate('resume'));
    t.truthy(again);
  });
});

test.serial('a stop after a round ends the loop there', async (t) => {
  const handle = await on.start('stopped', 'toy', { ...parameters, rounds: 50, by: 13 });
  await on.working(async () => {
    await handle.executeUpdate('stopAfterRound', { args: [{ round: 2 }] });
    await handle.result();
    const record = await until(() => on.services.store.experiment('stopped').then((found) => found?.state === 'completed' && found));
    t.is(Math.max(...record.steps.map((step) => step.round ?? 0)), 2);
  });
});

test.serial('a cancelled experiment ends as cancelled, its stages before it', async (t) => {
  const handle = await on.start('cancelled', 'toy', { ...parameters, minimum: 1000 });
  await on.working(async () => {
    await until(async () => (await view(handle)).state === 'attention');
    await handle.cancel();
    await t.throwsAsync(handle.result());
    const record = await until(() => on.services.store.experiment('cancelled').then((found) => found?.state === 'cancelled' && found));
    t.is(record.failure, null);
  });
});

test.serial('a missing artifact is made again from the top', async (t) => {
  await on.working(async () => {
    const handle = await on.start('healed', 'toy', { ...parameters, rounds: 2, minimum: 1000, by: 17, count: 30 });
    const standing = await until(async () => {
      const now = await view(handle);
      return now.state === 'attention' && now;
    });
    const lost = standing.steps.find((step) => step.path === 'r1/select')!.result as DatasetRef;
    await rm(join(on.services.store.root, 'datasets', `${lost.digest}.json`));
    await handle.executeUpdate('approve', { args: [{}] });
    await until(async () => (await view(handle)).attention.some((one) => one.path === 'r2/gate'));
    await handle.executeUpdate('approve', { args: [{}] });
    await handle.result();
    t.true(await on.services.store.has(lost), 'the dataset is there again');
  });
});

test.serial('a fork takes the results of the parent up to its round, whatever its parameters are', async (t) => {
  await on.working(async () => {
    const parent = await on.start('parent', 'toy', { ...parameters, rounds: 2, by: 19 });
    await parent.result();
    const record = await until(() => on.services.store.experiment('parent').then((found) => found?.state === 'completed' && found));
    const pins: Record<string, { entry: { result: never; stepKey: string; cached: boolean }; inputs: string[] }> = {};
    for (const step of record.steps) {
      if ((step.round ?? 0) > 1 || !step.result || !step.stepKey) continue;
      const output = await on.services.store.output(step.stepKey);
      pins[step.path] = { entry: { result: step.result as never, stepKey: step.stepKey, cached: false }, inputs: output!.inputs };
    }
    const fork = await on.start('fork', 'toy', { ...parameters, rounds: 2, by: 2 }, { pins, parent: { name: 'parent', round: 1 } });
    await fork.result();
    const forked = await until(() => on.services.store.experiment('fork').then((found) => found?.state === 'completed' && found));
    const keys = (steps: ExperimentRecord['steps'], round: number) =>
      steps.filter((step) => (step.round ?? 0) === round).map(({ path, stepKey }) => [path, stepKey]);
    t.deepEqual(keys(forked.steps, 1), keys(record.steps, 1));
    t.notDeepEqual(keys(forked.steps, 2), keys(record.steps, 2));
  });
});

test.serial('`until` keeps the shortest prefix in record order that holds enough', async (t) => {
  await on.working(async () => {
    const handle = await on.start('until', 'toy', { ...parameters, rounds: 1, by: 3, count: 2000, until: 300 });
    await handle.result();
    const record = await until(() => on.services.store.experiment('until').then((found) => found?.state === 'completed' && found));
    const output = await on.services.store.output(record.steps.find((step) => step.path === 'r1/sieve')!.stepKey!);
    t.is((output!.result as DatasetRef).rows, 300);
    t.is(output!.in, output!.kept + Object.values(output!.dropped).reduce((a, b) => a + b, 0));
    t.true(output!.in < 2000);
  });
});

test.serial('`until` starts about as many batches as it takes, not all that there is room for', async (t) => {
  await on.working(async () => {
    const handle = await on.start('few', 'toy', { ...parameters, rounds: 1, by: 4, count: 256 * 40, until: 256 * 4 });
    await handle.result();
    const record = (await on.services.store.experiment('few'))!;
    const { stepKey } = record.steps.find((step) => step.path === 'r1/sieve')!;
    const stage = on.env.client.workflow.getHandle(workflowId.stage(on.services.store.id, 'toy.sieve', stepKey!));
    const { events } = await stage.fetchHistory();
    const batches = events!.filter(({ activityTaskScheduledEventAttributes: scheduled }) => scheduled).length;
    t.true(batches >= 8 && batches <= 10, `${batches} batches, of which each kept half`);
  });
});

test.serial('what has run replays, continued, waiting, failing and cancelled', (t) =>
  replays(t, on, ['split', 'gated', 'cancelled', 'failing']),
);
