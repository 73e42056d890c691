/** `retry-step` takes up what a person has mended: a setting, a source file. What does not depend on it is not made again. */
import test from 'ava';
import { rm, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import type { DatasetRef } from '../../schemas/call.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { SERVING, replays, site, until, type Site } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

/** No whole number, as the operator wants one: the step stands at attention. */
const parameters = { rounds: 1, minimum: 1, by: 1.5 };
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const waiting = (handle: WorkflowHandle, path: string) =>
  until(async () => {
    const now = await view(handle);
    return now.attention.some((one) => one.path === path) && now;
  }, 120_000);
const recordOf = (name: string) => until(() => on.services.store.experiment(name).then((found) => found?.state === 'completed' && found));
const dataOf = async (handle: WorkflowHandle) => ((await handle.result()) as { data: DatasetRef }).data.digest;

/** Retries what waits, under a changed configuration. */
async function mend(handle: WorkflowHandle, change: (config: BoundConfig) => Partial<BoundConfig>, path?: string): Promise<void> {
  const config = (await view(handle)).config as BoundConfig;
  const more = { config: { ...config, ...change(config) }, configDigest: '1'.repeat(64) };
  await handle.executeUpdate('retryStep', { args: [{ ...(path === undefined ? {} : { path }), ...more }] });
}
/** Activities that the newest run has begun. */
async function begun(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await on.env.client.workflow.getHandle(handle.workflowId).fetchHistory();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: one }) => (one?.activityId ? [one.activityId] : []));
}

test.serial('a parameter is mended: the result is that of a launch with it, and finished steps come from the ledger', async (t) => {
  await on.working(async () => {
    const handle = await on.start('mended', 'toy', parameters);
    await waiting(handle, 'r1/sieve');
    await mend(handle, () => ({ parameters: { ...parameters, by: 3 } }));
    const data = await dataOf(handle);
    t.is(data, await dataOf(await on.start('fresh', 'toy', { ...parameters, by: 3 })));
    const record = await recordOf('mended');
    t.deepEqual((record.config as BoundConfig).parameters, { ...parameters, by: 3 });
    t.is(record.configDigest, '1'.repeat(64));
    const ids = await begun(handle);
    t.true(ids.includes('open r1/sieve'));
    t.deepEqual(
      ids.filter((id) => id.includes('double') || id.includes('data-numbers')),
      [],
    );
  });
});

test.serial('a seed, or a source, is mended: whatever depends on it is made again', async (t) => {
  await on.working(async () => {
    const seeded = await on.start('seeded', 'toy', parameters);
    await waiting(seeded, 'r1/sieve');
    await mend(seeded, () => ({ seed: 7, parameters: { ...parameters, by: 3 } }));
    t.is(await dataOf(seeded), await dataOf(await on.start('fresh-seed', 'toy', { ...parameters, by: 3 }, { seed: 7 })));
    const more = await on.start('more', 'toy', parameters);
    await waiting(more, 'r1/sieve');
    await mend(more, ({ data }) => ({
      data: { numbers: { ...data['numbers']!, params: { count: 30 } } },
      parameters: { ...parameters, by: 3 },
    }));
    t.is(await dataOf(more), await dataOf(await on.start('fresh-data', 'toy', { ...parameters, by: 3, count: 30 })));
  });
});

test.serial('a source file that was mended is read again, and what hangs on it made again; one that is gone is as it was', async (t) => {
  const [file, other, broken] = ['numbers.jsonl', 'other.jsonl', 'broken'].map((name) => join(on.services.home, name));
  const lines = (count: number) => Array.from({ length: count }, (_, n) => `${JSON.stringify({ n })}\n`).join('');
  await writeFile(file!, lines(20));
  await writeFile(other!, lines(5));
  const source = (path: string) => ({ source: 'toy.file', params: { path }, folder: '/' });
  process.env['BACKSPIN_TOY_BROKEN'] = broken!;
  await writeFile(broken!, '');
  await on.working(async () => {
    const data = { numbers: source(file!), other: source(other!) };
    const handle = await on.start('reread', 'toy', { ...parameters, by: 5 }, { data });
    await waiting(handle, 'r1/other/fragile');
    await rm(other!);
    await writeFile(file!, lines(40));
    await rm(broken!);
    await handle.executeUpdate('retryStep', { args: [{}] });
    await handle.result();
    const { steps } = await recordOf('reread');
    const rows = (path: string) => (steps.find((step) => step.path === path)!.result as DatasetRef).rows;
    t.is(rows('data-numbers'), 40);
    t.is(rows('double'), 40);
    t.is(rows('data-other'), 5);
    t.false((await begun(handle)).includes('reduce data-other'));
  });
});

test.serial('a file that did not change costs nothing: the step alone is run again', async (t) => {
  const broken = join(on.services.home, 'broken');
  process.env['BACKSPIN_TOY_BROKEN'] = broken;
  await writeFile(broken, '');
  await on.working(async () => {
    const handle = await on.start('plain', 'toy', { ...parameters, by: 3, count: 25 });
    await waiting(handle, 'r1/other/fragile');
    await rm(broken);
    const { runId } = await handle.describe();
    await handle.executeUpdate('retryStep', { args: [{}] });
    await handle.result();
    t.is((await on.env.client.workflow.getHandle(handle.workflowId).describe()).runId, runId);
  });
});

test.serial('nothing is lost where everything is killed in the moment after a setting was mended', async (t) => {
  const handle = await on.start('killed', 'toy', { ...parameters, count: 35 });
  await on.working(async () => {
    await waiting(handle, 'r1/sieve');
    await mend(handle, () => ({ parameters: { ...parameters, by: 3 } }));
  });
  await on.working(async () => {
    t.is(await dataOf(handle), await dataOf(await on.start('unharmed', 'toy', { ...parameters, by: 3, count: 35 })));
  });
});

test.serial('what is no configuration of this experiment is refused, and changes nothing', async (t) => {
  await on.working(async () => {
    const handle = await on.start('refusing', 'toy', { ...parameters, by: 2.5 });
    await waiting(handle, 'r1/sieve');
    const cases = [
      [() => mend(handle, () => ({ name: 'another' })), /are of the experiment another/],
      [() => mend(handle, () => ({ recipe: 'chatter' })), /are of the recipe chatter/],
      [() => handle.executeUpdate('retryStep', { args: [{ config: {} }] }), /come with their digest/],
      [() => handle.executeUpdate('retryStep', { args: [{ config: 5 }] }), /is not of the form/],
    ] as const;
    for (const [tell, says] of cases) t.regex(String(((await t.throwsAsync(tell)) as { cause?: Error }).cause?.message), says);
    t.is((await view(handle)).attention.length, 1);
    await handle.cancel();
    await t.throwsAsync(handle.result());
  });
});

test.serial('a training that fails for a setting is mended, and the records before it are not asked again', async (t) => {
  t.timeout(1_200_000);
  const speaker = { path: resolve(import.meta.dirname, '../../examples/textworld/base/plain') };
  await on.working(() =>
    on.onDevices(1, 600_000, async () => {
      const handle = await on.start(
        'taught',
        'school',
        { count: 20, steps: 2, maxTokens: 2 },
        { models: { speaker }, serving: { ...SERVING, slots: 4 } },
      );
      await waiting(handle, 'pupil');
      const before = answered();
      t.true(before.length >= 20);
      await mend(handle, ({ parameters: given }) => ({ parameters: { ...given, maxTokens: 64 } }));
      await handle.result();
      t.is(new Set(answered()).size, answered().length, 'no request was made twice');
      t.deepEqual(answered().slice(0, before.length), before);
    }),
  );
});

/** Ids of the requests that the server has answered. */
function answered(): string[] {
  const log = join(on.services.home, 'serve', 'cpu-0', 'access.jsonl');
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
  return lines
    .map((line) => JSON.parse(line) as { id: string; path: string })
    .flatMap(({ id, path }) => (path.startsWith('/v1/') && !id.startsWith('check/') ? [id] : []));
}

test.serial('what was mended replays', (t) => replays(t, on, ['mended', 'reread']));
