import test from 'ava';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Subprocess } from '../../devices/subprocess.ts';
import { alive, members, self, startTime, sweep } from '../../devices/processes.ts';
import { Slots } from '../../devices/slots.ts';
import type { SlotRecord } from '../../schemas/devices.ts';
import { place, until, type Place } from '../support/devices.ts';

const never = new AbortController().signal;
const slots = (p: Place, groups = 1, reapAfter = 600_000) =>
  new Slots({ home: p.home, pool: 'cpu', groups: Array<string[]>(groups).fill([]), reapAfter });
const task = (p: Place, more: object = {}) => ({ kind: 'serve' as const, key: 'k', attempt: 1, folder: p.folder, ...more });
const how = (p: Place) => ({ command: ['sleep', '1000'], env: {}, lifeline: p.lifeline.path, log: join(p.folder, 'log'), signal: never });
const dead = { owner: 2 ** 30, ownerStart: '1' };
/** Init: it lives, and it is not us. */
const foreign = { owner: 1, ownerStart: startTime(1)! };

const leftovers: Subprocess[] = [];
test.after.always(() => Promise.all(leftovers.map((child) => child.stop(0))));

/** A child on a slot, as a worker with this identity would have left it. */
async function left(p: Place, more: Partial<SlotRecord>): Promise<{ child: Subprocess; record: SlotRecord }> {
  const slot = more.slot ?? 'cpu-0';
  const child = await Subprocess.launch(`left.${process.pid}.${Math.random()}`, { ...how(p), folder: p.folder });
  const record: SlotRecord = {
    slot,
    devices: [],
    kind: 'serve',
    ...child.group,
    ...dead,
    key: 'k',
    attempt: 1,
    folder: p.folder,
    warm: null,
    ...more,
  };
  mkdirSync(join(p.home, 'devices'), { recursive: true });
  writeFileSync(join(p.home, 'devices', `${slot}.json`), JSON.stringify(record));
  leftovers.push(child);
  return { child, record };
}
test('groups are handed out one by one, in order of arrival', async (t) => {
  const pool = slots(place(t), 2);
  const [a, b] = [await pool.acquire(never), await pool.acquire(never)];
  t.deepEqual([a.name, b.name], ['cpu-0', 'cpu-1']);
  const order: string[] = [];
  const first = pool.acquire(never).then((slot) => order.push(`first ${slot.name}`));
  const second = pool.acquire(never).then((slot) => order.push(`second ${slot.name}`));
  await b[Symbol.asyncDispose]();
  await a[Symbol.asyncDispose]();
  await Promise.all([first, second]);
  t.deepEqual(order, ['first cpu-1', 'second cpu-0']);
});

test('who gives up waiting for a group takes none', async (t) => {
  const pool = slots(place(t));
  const slot = await pool.acquire(never);
  const giveUp = new AbortController();
  const waiting = pool.acquire(giveUp.signal);
  giveUp.abort(new Error('enough'));
  await t.throwsAsync(waiting, { message: 'enough' });
  await slot[Symbol.asyncDispose]();
  t.is((await pool.acquire(never)).name, 'cpu-0');
});

test('the group where a child of the key runs is preferred, then a warm one, then an empty one', async (t) => {
  const p = place(t);
  await left(p, { slot: 'cpu-0', key: 'other' });
  await left(p, { slot: 'cpu-2', key: 'k' });
  await left(p, { slot: 'cpu-3', key: 'warm', warm: 'base' });
  const pool = slots(p, 5);
  t.is((await pool.acquire(never, { key: 'k', warm: 'base' })).name, 'cpu-2');
  t.is((await pool.acquire(never, { key: 'new', warm: 'base' })).name, 'cpu-3');
  t.is((await pool.acquire(never, { key: 'new', warm: 'base' })).name, 'cpu-1');
  t.is((await pool.acquire(never)).name, 'cpu-4');
});

test('a warm server is taken over by a task that wants the like, and stopped for any other', async (t) => {
  const p = place(t);
  const pool = slots(p);
  const keepWarm = async () => {
    await using slot = await pool.acquire(never);
    const child = await slot.launch(task(p, { warm: 'base' }), how(p));
    await slot.keepWarm(child);
    return child;
  };
  const first = await keepWarm();
  t.like(p.record(), { key: 'warm', owner: self.pid });
  {
    await using slot = await pool.acquire(never);
    const adopted = await slot.claim(task(p, { key: 'next', warm: 'base' }));
    t.deepEqual(adopted?.group, first.group);
    t.like(p.record(), { key: 'next' });
    await slot.stop(adopted!, 0);
  }
  for (const more of [{ warm: 'another base' }, {}, { kind: 'train' as const }]) {
    const warm = await keepWarm();
    await using slot = await pool.acquire(never);
    t.is(await slot.claim(task(p, { key: 'next', ...more })), undefined);
    t.deepEqual(sweep(warm.group.marker), []);
  }
});

test('a warm server is stopped when nobody came for it, and when its worker ends', async (t) => {
  const p = place(t);
  for (const keepWarmFor of [1, 600_000]) {
    const pool = new Slots({ home: p.home, pool: 'cpu', groups: [[]], keepWarmFor });
    const slot = await pool.acquire(never);
    const child = await slot.launch(task(p, { warm: 'base' }), how(p));
    await slot.keepWarm(child);
    await slot[Symbol.asyncDispose]();
    if (keepWarmFor > 1) await pool.close();
    await until(() => p.record() === undefined);
    t.deepEqual(sweep(child.group.marker), []);
    t.is((await pool.acquire(never)).name, 'cpu-0');
  }
});

test('the living child of a dead worker is adopted by the same key, and then ours', async (t) => {
  const p = place(t);
  const { child, record } = await left(p, { key: 'k', attempt: 3 });
  const slot = await slots(p).acquire(never);
  const adopted = await slot.claim(task(p, { attempt: 4 }));
  t.deepEqual(adopted?.group, child.group);
  t.deepEqual(p.record(), { ...record, owner: self.pid, ownerStart: self.start, attempt: 4 });
  await slot.stop(adopted!, 0);
  await adopted!.exited;
  t.deepEqual(sweep(child.group.marker), []);
  t.is(p.record(), undefined);
});

test('a slot file that a power failure left empty or torn is an empty group, once what its marker tells of has ended', async (t) => {
  const p = place(t);
  for (const content of ['', '\0'.repeat(300), '{"slot":"cpu-0","ki', '{}']) {
    const before = slots(p);
    const held = await before.acquire(never);
    const child = await held.launch(task(p), how(p));
    leftovers.push(child);
    const elsewhere = await Subprocess.launch('another-home.cpu-0.1', { ...how(p), folder: p.folder });
    leftovers.push(elsewhere);
    writeFileSync(join(p.home, 'devices/cpu-0.json'), content);
    writeFileSync(join(p.home, 'devices/other-0.json'), content); // of another pool
    const next = await slots(p).acquire(never); // of a worker that comes after
    t.deepEqual(sweep(child.group.marker), []);
    t.is(sweep('another-home.cpu-0.1').length > 0, true, 'nobody else was touched');
    t.is(await next.claim(task(p)), undefined);
    t.is(p.record(), undefined);
    await elsewhere.stop(0);
    rmSync(join(p.home, 'devices/other-0.json'));
  }
});

test('a process of another boot, or another container, is never taken for one of the same number', async (t) => {
  const p = place(t);
  const { child } = await left(p, {});
  const { pgid, pgStart } = child.group;
  const ticks = pgStart!.split('.').at(-1)!;
  for (const start of [`0123456789ab.${pgStart!.split('.')[1]}.${ticks}`, `${pgStart!.split('.')[0]}.1.${ticks}`]) {
    t.false(alive(pgid!, start));
    t.deepEqual(members({ pgid, pgStart: start, marker: 'nobody' }), []);
    t.deepEqual(members({ pgid: 2 ** 30, pgStart: start, marker: 'nobody' }), []);
  }
  t.true(alive(pgid!, pgStart!));
});

test('another key, another kind, or a dead leader is stopped instead', async (t) => {
  const p = place(t);
  for (const more of [{ key: 'other' }, { kind: 'train' as const }, { pgid: null, pgStart: null }]) {
    const { child } = await left(p, more);
    await using slot = await slots(p).acquire(never);
    t.is(await slot.claim(task(p)), undefined);
    t.deepEqual(sweep(child.group.marker), []);
    t.is(p.record(), undefined);
  }
});

test('what a living foreign worker runs is not touched', async (t) => {
  const p = place(t);
  for (const more of [
    { key: 'other', attempt: 0 },
    { key: 'k', attempt: 1 },
    { key: 'k', attempt: 2 },
  ]) {
    const { child, record } = await left(p, { ...foreign, ...more });
    await using slot = await slots(p).acquire(never);
    await t.throwsAsync(slot.claim(task(p, { attempt: 1 })), { name: 'DeviceLost', message: /held by process 1,/ });
    t.true(sweep(child.group.marker).length > 0);
    t.deepEqual(p.record(), record);
    await child.stop(0);
  }
});

test('a later attempt of the same key fences an earlier one, on whatever group it is', async (t) => {
  const p = place(t);
  const here = await left(p, { ...foreign, attempt: 1 });
  const there = await left(p, { ...foreign, slot: 'gpu-7', attempt: 1 });
  const slot = await slots(p).acquire(never);
  t.is(await slot.claim(task(p, { attempt: 2 })), undefined);
  t.deepEqual([...sweep(here.child.group.marker), ...sweep(there.child.group.marker)], []);
});

test("only who carries the marker deletes the slot's file", async (t) => {
  const p = place(t);
  const slot = await slots(p).acquire(never);
  const child = await slot.launch(task(p), how(p));
  const { record } = await left(p, { ...foreign, attempt: 2 });
  await slot.stop(child, 0);
  t.deepEqual(sweep(child.group.marker), []);
  t.deepEqual(p.record(), record);
});

test('a worker that dies at any moment of a launch leaves the marker of its child', async (t) => {
  const p = place(t);
  const slot = await slots(p).acquire(never);
  await t.throwsAsync(slot.launch(task(p), { ...how(p), lifeline: join(p.home, 'missing') }), { code: 'ENOENT' });
  t.like(p.record(), { slot: 'cpu-0', pgid: null, owner: self.pid });
});

test('what dead workers left and nobody claims is stopped, also on groups that the pool has no more; the rest is not', async (t) => {
  const p = place(t);
  const unclaimed = await left(p, { slot: 'cpu-0' });
  const beyond = await left(p, { slot: 'cpu-9', key: 'beyond' });
  const living = await left(p, { slot: 'cpu-8', ...foreign, key: 'living' });
  const otherPool = await left(p, { slot: 'gpu-0', key: 'elsewhere' });
  slots(p, 1, 1);
  await until(() => p.record('cpu-0') === undefined && p.record('cpu-9') === undefined);
  t.deepEqual([...sweep(unclaimed.child.group.marker), ...sweep(beyond.child.group.marker)], []);
  t.true(sweep(living.child.group.marker).length > 0);
  t.true(sweep(otherPool.child.group.marker).length > 0);
});
