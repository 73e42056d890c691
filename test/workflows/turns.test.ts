/** Leases of a pool on a real Temporal server, with the real model server: who gets a group, when, and what several do together. */
import test from 'ava';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import type { DatasetRef } from '../../schemas/call.ts';
import { SERVING, site, until, type Site } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

const speaker = { path: resolve(import.meta.dirname, '../../examples/textworld/base/plain') };
/** Milliseconds in which a group changes hands on a busy machine. */
const HANDED_OVER = 10_000;

interface Lease {
  readonly of: string;
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly asked: number;
  readonly began: number;
  readonly ended: number;
}

/** The leases that experiments have had, in the order in which they began. */
async function leases(...handles: readonly WorkflowHandle[]): Promise<Lease[]> {
  const all = await Promise.all(handles.map(leasesOf));
  return all.flat().toSorted((a, b) => a.began - b.began);
}
async function leasesOf(handle: WorkflowHandle): Promise<Lease[]> {
  const events = (await handle.fetchHistory()).events ?? [];
  const at = (event: (typeof events)[number]) => Number(event.eventTime!.seconds) * 1000 + event.eventTime!.nanos! / 1e6;
  return events.flatMap((asked) => {
    const { activityType, activityId } = asked.activityTaskScheduledEventAttributes ?? {};
    if (activityType?.name !== 'serve') return [];
    const began = events.find((event) => String(event.activityTaskStartedEventAttributes?.scheduledEventId) === String(asked.eventId));
    const ended = events.find(({ activityTaskCompletedEventAttributes: done, activityTaskCanceledEventAttributes: gone }) =>
      [done, gone].some((end) => end && String(end.scheduledEventId) === String(asked.eventId)),
    );
    return began && ended ? [{ of: handle.workflowId, id: activityId!, asked: at(asked), began: at(began), ended: at(ended) }] : [];
  });
}

/** Ids of the requests that the server of a group has answered. */
function answered(group: number): string[] {
  const log = join(on.services.home, 'serve', `cpu-${group}`, 'access.jsonl');
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
  return lines
    .map((line) => JSON.parse(line) as { id: string; path: string })
    .flatMap(({ id, path }) => (path.startsWith('/v1/') && !id.startsWith('check/') ? [id] : []));
}

/** So few at once that a step lasts. */
const SLOTS = 4;
const chat = (name: string, seed: number, count: number, rounds: number, replicas = 1) =>
  on.start(name, 'echo', { count, rounds }, { seed, models: { speaker }, serving: { ...SERVING, slots: SLOTS, replicas } });

test.serial('two experiments on one group take strict turns, and neither waits while the group is idle', async (t) => {
  t.timeout(1_200_000);
  await on.working(() =>
    on.onDevices(1, 600_000, async () => {
      const pair = await Promise.all([chat('one', 1, 60, 4), chat('two', 2, 60, 4)]);
      await Promise.all(pair.map((handle) => handle.result()));
      const turns = await leases(...pair);
      t.is(turns.length, 8);
      for (const [i, next] of turns.slice(1).entries()) {
        const last = turns[i]!;
        t.not(next.of, last.of, `turn ${i + 1}`);
        t.true(next.began >= last.ended - 50, 'one group, one lease');
        const idle = next.began - Math.max(last.ended, next.asked);
        t.true(idle < HANDED_OVER, `the group was idle for ${idle} ms while ${next.of} waited`);
      }
    }),
  );
});

test.serial(
  'a long step gives way once its time slice is over, goes on behind the other, and asks nothing twice but what was in flight',
  async (t) => {
    t.timeout(1_200_000);
    await on.working(() =>
      on.onDevices(1, 1_000, async () => {
        const before = answered(0).length;
        const long = await chat('long', 3, 1500, 1);
        await until(async () => answered(0).length > before + 50, 120_000);
        const short = await chat('short', 4, 20, 1);
        await short.result();
        t.is((await long.describe()).status.name, 'RUNNING');
        const { data } = (await long.result()) as { data: DatasetRef };
        const turns = await leases(long, short);
        t.deepEqual(
          turns.map(({ of }) => of),
          [long, short, long].map(({ workflowId }) => workflowId),
        );
        const record = await on.services.store.experiment('long');
        const output = await on.services.store.output(record!.steps.at(-1)!.stepKey!);
        t.is(output!.in, 1500);
        t.is(output!.kept + Object.values(output!.dropped).reduce((sum, count) => sum + count, 0), 1500);
        t.is(data.rows, output!.kept);
        const asked = answered(0).filter((id) => id.startsWith(output!.stepKey.slice(0, 16)));
        t.true(asked.length - new Set(asked).size <= Math.ceil(1.25 * SLOTS), `${asked.length} requests for 1500 records`);
        t.is(new Set(asked).size, 1500);
      }),
    );
  },
);

test.serial('an experiment does not give way to itself: a lease for which there is no group waits until the step is over', async (t) => {
  t.timeout(1_200_000);
  await on.working(() =>
    on.onDevices(1, 1, async () => {
      const handle = await chat('alone', 5, 600, 1, 3);
      await handle.result();
      t.is((await leases(handle)).length, 1);
    }),
  );
});

test.serial('several leases of a step share its records, each server on a group of its own', async (t) => {
  t.timeout(1_200_000);
  await on.working(() =>
    on.onDevices(2, 600_000, async () => {
      const before = [answered(0).length, answered(1).length];
      const handle = await chat('shared', 6, 1024, 1, 2);
      await handle.result();
      const held = await leases(handle);
      t.deepEqual(held.map(({ id }) => id).toSorted(), ['serve 2 r1/ask', 'serve r1/ask']);
      const shares = before.map((count, group) => answered(group).slice(count));
      t.true(
        shares.every((share) => share.length > 0),
        `${shares.map((share) => share.length).join(' and ')} requests`,
      );
      t.is(new Set(shares.flat()).size, 1024);
      t.is(shares.flat().length, 1024);
    }),
  );
});
