/** CUDA devices, their memory, and who else is on them, with a stand-in for `nvidia-smi`. */
import test, { type ExecutionContext } from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { awaitMemoryFree } from '../../devices/memory.ts';
import { cudaProcesses } from '../../devices/nvidia.ts';
import { sweep } from '../../devices/processes.ts';
import { Slots } from '../../devices/slots.ts';
import { place, until, type Place } from '../support/devices.ts';
import { nvidia, uuid, type Nvidia } from '../support/nvidia.ts';

const never = new AbortController().signal;
const task = (p: Place, key = 'k') => ({ kind: 'serve' as const, key, attempt: 1, folder: p.folder });
const how = (p: Place, signal = never) => ({
  command: ['sh', '-c', 'echo "sees $CUDA_VISIBLE_DEVICES"; sleep 1000'],
  env: {},
  lifeline: p.lifeline.path,
  log: join(p.folder, 'log'),
  signal,
});
const said = (p: Place) => until(() => /^sees .*$/m.exec(readFileSync(join(p.folder, 'log'), 'utf8'))?.[0]);
const groups = (p: Place, ...devices: readonly (readonly string[])[]) =>
  new Slots({ home: p.home, pool: 'cpu', groups: devices, reapAfter: 600_000 });

/** Puts the stand-in first on the PATH of this process. */
function smi(t: ExecutionContext, ...used: readonly number[]): Nvidia {
  const stand = nvidia(...used);
  const path = process.env['PATH']!;
  process.env['PATH'] = `${stand.folder}:${path}`;
  t.teardown(() => {
    process.env['PATH'] = path;
  });
  return stand;
}

/** A program of somebody else. */
async function stranger(t: ExecutionContext): Promise<number> {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child.pid!;
}

test.serial('a child sees the devices of its group by UUID, and one of a group without devices sees none', async (t) => {
  const p = place(t);
  smi(t, 0, 0, 0);
  const pool = groups(p, [uuid(2), uuid(0)], []);
  const both = await pool.acquire(never);
  const child = await both.launch(task(p), how(p));
  t.is(await said(p), `sees ${uuid(2)},${uuid(0)}`);
  t.deepEqual(p.record()!.devices, [uuid(2), uuid(0)]);
  await both.stop(child, 0);
  writeFileSync(join(p.folder, 'log'), '');
  const none = await pool.acquire(never);
  const other = await none.launch(task(p), how(p));
  t.is(await said(p), 'sees ');
  await none.stop(other, 0);
});

test.serial('a child that another worker left on other devices is not adopted', async (t) => {
  const p = place(t);
  smi(t, 0, 0);
  const before = await groups(p, [uuid(0)]).acquire(never);
  const child = await before.launch(task(p), how(p));
  const after = await groups(p, [uuid(1)]).acquire(never);
  t.is(await after.claim(task(p)), undefined);
  t.deepEqual(sweep(child.group.marker), []);
});

test.serial('a start waits until the driver has back what an ended process had, on every device of the group', async (t) => {
  const p = place(t);
  const stand = smi(t, 500, 60_000);
  const slot = await groups(p, [uuid(0), uuid(1)]).acquire(never);
  const starting = slot.launch(task(p), how(p));
  await until(() => stand.asked() >= 2);
  t.is(p.record(), undefined, 'nothing is started yet');
  stand.used(500, 500);
  const child = await starting;
  t.truthy(p.record());
  await slot.stop(child, 0);
});

test.serial('who waits for memory can give up', async (t) => {
  const p = place(t);
  const stand = smi(t, 60_000);
  const slot = await groups(p, [uuid(0)]).acquire(never);
  const giveUp = new AbortController();
  const starting = slot.launch(task(p), how(p, giveUp.signal));
  await until(() => stand.asked() >= 1);
  giveUp.abort();
  await t.throwsAsync(starting, { name: 'AbortError' });
  t.is(p.record(), undefined);
});

test.serial('a stopped child keeps its group until its memory is back', async (t) => {
  const p = place(t);
  const stand = smi(t, 0);
  const slot = await groups(p, [uuid(0)]).acquire(never);
  const child = await slot.launch(task(p), how(p));
  stand.used(60_000);
  const asked = stand.asked();
  const stopping = slot.stop(child, 0);
  await until(() => stand.asked() >= asked + 2);
  t.deepEqual(sweep(child.group.marker), []);
  t.truthy(p.record(), 'the group is not given back yet');
  stand.used(100);
  await stopping;
  t.is(p.record(), undefined);
});

test.serial('memory that never comes back is a sentence after a while', async (t) => {
  smi(t, 0, 60_000);
  await t.throwsAsync(awaitMemoryFree([uuid(0), uuid(1)], never, 1), {
    name: 'DeviceLost',
    message: /^60000 of 80000 MiB of device 1 \(GPU-00000001-.*\) stay in use by no process that this host can see/,
  });
});

test.serial('a device that somebody else fills is refused at once, by name, and the process is not touched', async (t) => {
  const p = place(t);
  const stand = smi(t, 60_300);
  const pid = await stranger(t);
  stand.processes({ index: 0, pid, used: 60_000, name: '/usr/bin/python, -m "other"' });
  const slot = await groups(p, [uuid(0)]).acquire(never);
  const error = await t.throwsAsync(slot.launch(task(p), how(p)), { name: 'DeviceLost' });
  t.regex(
    error.message,
    new RegExp(`60300 of 80000 MiB of device 0 .* are in use by process ${pid} \\(/usr/bin/python, -m "other"\\) with 60000 MiB`),
  );
  t.true(process.kill(pid, 0));
  t.is(p.record(), undefined);
});

test.serial('who takes little of a device is told of, and does not stop a start', async (t) => {
  const p = place(t);
  const stand = smi(t, 900);
  const pid = await stranger(t);
  stand.processes({ index: 0, pid, used: '[N/A]', name: 'Xorg' });
  const slot = await groups(p, [uuid(0)]).acquire(never);
  const child = await slot.launch(task(p), how(p));
  stand.processes({ index: 0, pid, used: '[N/A]', name: 'Xorg' }, { index: 0, pid: child.group.pgid!, used: 300, name: 'python' });
  t.deepEqual(await slot.foreignProcesses(), [`process ${pid} (Xorg)`], 'our own child is nobody else');
  await slot.stop(child, 0);
});

test.serial('a device that is gone is a sentence', async (t) => {
  smi(t, 0);
  await t.throwsAsync(awaitMemoryFree([uuid(1)], never), {
    name: 'DeviceLost',
    message: /nvidia-smi does not list the device GPU-00000001/,
  });
});

test.serial('no nvidia-smi, or one whose driver does not work, is a sentence', async (t) => {
  const stand = smi(t, 0);
  writeFileSync(join(stand.folder, 'nvidia-smi'), '#!/bin/sh\necho "NVIDIA-SMI has failed: no driver"\nexit 9\n');
  await t.throwsAsync(cudaProcesses(), {
    name: 'DeviceLost',
    message: /\(NVIDIA-SMI has failed: no driver\): install or repair the NVIDIA driver/,
  });
  process.env['PATH'] = '/nowhere';
  await t.throwsAsync(cudaProcesses(), { name: 'DeviceLost', message: /it is not on the PATH/ });
});
