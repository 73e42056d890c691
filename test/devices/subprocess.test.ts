import test, { type ExecutionContext } from 'ava';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Subprocess } from '../../devices/subprocess.ts';
import { makeLifeline } from '../../devices/lifeline.ts';
import { alive, self, startTime, stopGroup, sweep } from '../../devices/processes.ts';
import { place, until, type Place } from '../support/devices.ts';

let made = 0;
const launch = (p: Place, script: string, lifeline = p.lifeline.path) =>
  Subprocess.launch(`test.${process.pid}.${made++}`, {
    command: ['sh', '-c', script],
    env: {},
    lifeline,
    folder: p.folder,
    log: join(p.folder, 'log'),
  });

test('a process is known by pid and start time', (t) => {
  t.true(alive(self.pid, self.start));
  t.false(alive(self.pid, String(Number(self.start) + 1)));
  t.is(startTime(2 ** 30), undefined);
});

test("a command's exit code comes through, and its output is in the log", async (t) => {
  const p = place(t);
  const child = await launch(p, 'echo said; echo complained >&2; exit 75');
  t.is(await child.exited, 75);
  t.is(readFileSync(join(p.folder, 'log'), 'utf8'), 'said\ncomplained\n');
});

test('a log that has grown large is put aside before the next start, in the place of the one before', async (t) => {
  const p = place(t);
  const log = join(p.folder, 'log');
  for (const old of ['a', 'b']) {
    writeFileSync(log, old.repeat(16 << 20));
    await (
      await launch(p, 'echo said')
    ).exited;
    t.is(readFileSync(log, 'utf8'), 'said\n');
    t.is(readFileSync(`${log}.1`, 'utf8')[0], old);
  }
  await (
    await launch(p, 'echo more')
  ).exited;
  t.is(readFileSync(log, 'utf8'), 'said\nmore\n');
});

/** What was killed can be seen for a moment more. */
async function gone(t: ExecutionContext, child: Subprocess): Promise<void> {
  await until(() => sweep(child.group.marker).length === 0);
  t.deepEqual(sweep(child.group.marker), []);
}

test('what a command started ends with it', async (t) => {
  const child = await launch(place(t), 'sleep 1000 & exit 3');
  t.is(await child.exited, 3);
  await gone(t, child);
});

test('a command that exits by itself when asked keeps its exit code', async (t) => {
  const p = place(t);
  const child = await launch(p, 'trap "exit 75" TERM; echo up; sleep 1000 & while :; do wait; done');
  await until(() => readFileSync(join(p.folder, 'log'), 'utf8') === 'up\n');
  await child.stop();
  t.is(await child.exited, 75);
});

test('a group that ignores SIGTERM is killed after the grace', async (t) => {
  const p = place(t);
  const child = await launch(p, 'trap "" TERM; sleep 1000 & echo up; wait');
  await until(() => readFileSync(join(p.folder, 'log'), 'utf8') === 'up\n');
  await child.stop(50);
  t.deepEqual(sweep(child.group.marker), []);
  t.true([null, 137].includes(await child.exited)); // as the launcher or its command was the first to go
});

test('a process that left the group or lost its environment is stopped all the same', async (t) => {
  const p = place(t);
  const child = await launch(p, 'setsid sleep 1000 & a=$!; env -i sleep 1000 & echo $a $!; wait');
  const pids = await until(() =>
    /^(\d+) (\d+)\n$/
      .exec(readFileSync(join(p.folder, 'log'), 'utf8'))
      ?.slice(1)
      .map(Number),
  );
  const starts = pids.map((pid) => startTime(pid)!);
  await until(() => readFileSync(`/proc/${pids[1]}/environ`).length === 0);
  await child.stop(0);
  t.deepEqual(
    pids.map((pid, i) => alive(pid, starts[i]!)),
    [false, false],
  );
});

test('the group with its grandchildren ends when the lifeline closes', async (t) => {
  const p = place(t);
  const child = await launch(p, 'sleep 1000 & wait');
  p.lifeline.close();
  await child.exited;
  await gone(t, child);
});

test('a child whose lifeline has no owner any more does not stay', async (t) => {
  const p = place(t);
  const dead = makeLifeline(join(p.home, 'dead'));
  dead.close();
  const child = await launch(p, 'sleep 1000', dead.path);
  await child.exited;
  await gone(t, child);
});

test('stopping a group that is gone touches nobody who has its number now', async (t) => {
  const p = place(t);
  const other = await launch(p, 'sleep 1000');
  await stopGroup({ pgid: other.group.pgid, pgStart: '1', marker: 'nobody' }, 0);
  t.true(alive(other.group.pgid!, other.group.pgStart!));
  await other.stop(0);
});
