/** Device groups as a person declares them, and what is said where they cannot be. */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { devicesOf, memoryOf, placed, readPools } from '../../host/pools.ts';
import { nvidia, uuid } from '../support/nvidia.ts';
import { backspin, file, temporary } from '../cli/cli.ts';

const settings = { keepWarm: 60_000, timeSlice: 600_000 };

/** What `readPools` makes of this pools.yaml. */
function written(yaml: string) {
  process.env['BACKSPIN_HOME'] = temporary();
  file(process.env['BACKSPIN_HOME'], 'pools.yaml', yaml);
  return readPools([]);
}

test.serial('groups are declared by number, by device, and by several devices each; times stand beside them', (t) => {
  t.deepEqual(written('cpu: 2\ngpu: cuda:0,1\n'), {
    cpu: { groups: [[], []], ...settings },
    gpu: { groups: [['0'], ['1']], ...settings },
  });
  t.deepEqual(written(`big:\n  groups: cuda:0+1,${uuid(2)}+3\n  keepWarm: 90s\n  timeSlice: 2h\n`), {
    big: {
      groups: [
        ['0', '1'],
        [uuid(2), '3'],
      ],
      keepWarm: 90_000,
      timeSlice: 7_200_000,
    },
  });
});

test.serial('options stand for the whole file, and without either there is one group on the CPU', (t) => {
  process.env['BACKSPIN_HOME'] = temporary();
  t.deepEqual(readPools([]), { cpu: { groups: [[]], ...settings } });
  t.deepEqual(readPools(['gpu=cuda:0+1,2+3', 'cpu=1']), {
    gpu: {
      groups: [
        ['0', '1'],
        ['2', '3'],
      ],
      ...settings,
    },
    cpu: { groups: [[]], ...settings },
  });
});

test.serial('what a pool computes on is told by the driver, whichever devices of one kind it has', async (t) => {
  const folder = temporary();
  const smi = (capabilities: readonly string[]) => {
    const rows = capabilities.map((capability, index) => `${uuid(index)}, ${capability}`);
    file(folder, 'nvidia-smi', `#!/bin/sh\nprintf '%s\\n' ${rows.map((row) => `'${row}'`).join(' ')}\n`);
    chmodSync(join(folder, 'nvidia-smi'), 0o755);
  };
  const path = process.env['PATH']!;
  process.env['PATH'] = `${folder}:${path}`;
  t.teardown(() => (process.env['PATH'] = path));
  const pools = {
    cpu: { groups: [[]], ...settings },
    one: { groups: [[uuid(0)]], ...settings },
    two: { groups: [[uuid(0), uuid(1)]], ...settings },
  };
  smi(['9.0', '9.0']);
  t.deepEqual(await devicesOf(pools), { cpu: 'cpu', one: 'cuda 9.0', two: 'cuda 9.0' });
  smi(['9.0', '8.0']);
  t.deepEqual(await devicesOf(pools), { cpu: 'cpu', one: 'cuda 9.0', two: 'cuda 8.0 9.0' });
  smi(['[Not Supported]', '']);
  t.deepEqual(await devicesOf(pools), { cpu: 'cpu', one: 'cuda', two: 'cuda' });
});

test.serial('the memory of each device of a pool is told by the driver', async (t) => {
  const path = process.env['PATH']!;
  process.env['PATH'] = `${nvidia(0, 0).folder}:${path}`;
  t.teardown(() => (process.env['PATH'] = path));
  const pools = { cpu: { groups: [[]], ...settings }, two: { groups: [[uuid(0), uuid(1)]], ...settings } };
  t.deepEqual(await memoryOf(pools), { cpu: [[]], two: [[80_000 * 2 ** 20, 80_000 * 2 ** 20]] });
});

const wrong: readonly (readonly [yaml: string, says: RegExp])[] = [
  ['cpu: 0', /pools\.yaml:1:6 cpu: is 0, which does not fit: a number of groups without devices, such as 2, or devices/],
  ['gpu: "cuda:"', /:1:6 gpu: is "cuda:", which does not fit/],
  ['gpu: cuda:0;1', /:1:6 gpu: is "cuda:0;1", which does not fit: .*cuda:0,1 are two groups, cuda:0\+1 is one of two devices/],
  ['gpu: [0, 1]', /:1:1 gpu: is a list, which does not fit/],
  ['gpu:', /gpu: is null, which does not fit/],
  ['gpu:\n  keepWarm: 1m', /gpu\.groups: is missing/],
  ['gpu:\n  groups: 1\n  keepWarm: 60', /:3:13 gpu\.keepWarm: is 60; expected a string/],
  [
    'gpu:\n  groups: 1\n  keepWarm: a while',
    /:3:13 gpu\.keepWarm: is "a while", which does not fit: a time such as 60s, 10m or 2h is needed/,
  ],
  ['gpu:\n  groups: 1\n  keepWorm: 1m', /:3:3 gpu\.keepWorm: unknown key; the nearest is "keepWarm"/],
  ['GPU: 1', /:1:1 GPU: the key does not fit: lower-case letters/],
  ['- gpu', /is a list; expected an object/],
];
for (const [yaml, says] of wrong) {
  test.serial(`pools.yaml with ${JSON.stringify(yaml)} is a sentence`, (t) => {
    t.regex(t.throws(() => written(yaml), { name: 'ConfigError' }).message, says);
  });
}

test.serial('an option that is no pool is a sentence', (t) => {
  for (const option of ['gpu', 'gpu=', '=1', 'gpu=0', 'gpu=cuda:', 'gpu=cuda:0,', 'gpu=cuda:x', 'G=1']) {
    const { message } = t.throws(() => readPools([option]), { name: 'ConfigError' });
    t.true(message.startsWith(`--pool ${option}: a pool and its device groups are needed, such as --pool cpu=1`));
  }
});

test.serial('devices are placed by UUID, each in one group; one that is not there is named with those that are', async (t) => {
  process.env['PATH'] = `${nvidia(0, 0).folder}:${process.env['PATH']}`;
  const { gpu } = await placed(readPools([`gpu=cuda:1,${uuid(0)}`]));
  t.deepEqual(gpu!.groups, [[uuid(1)], [uuid(0)]]);
  await t.throwsAsync(placed(readPools(['gpu=cuda:0,2'])), {
    name: 'ConfigError',
    message: `The pool gpu names the CUDA device 2, and this host has 0 (${uuid(0)}), 1 (${uuid(1)}).`,
  });
  await t.throwsAsync(placed(readPools(['gpu=cuda:0', `big=cuda:1+${uuid(0)}`])), {
    name: 'ConfigError',
    message: /The pool big names the CUDA device GPU-00000000-.*, which is in another group already/,
  });
});

test.serial('up says that a host without nvidia-smi has no CUDA devices', async (t) => {
  const { code, stderr } = await backspin(temporary(), ['up', '--pool', 'gpu=cuda:0'], { PATH: '/nowhere' });
  t.is(code, 1);
  t.regex(stderr, /^nvidia-smi cannot tell of CUDA devices \(it is not on the PATH\): install or repair the NVIDIA driver/);
});

test.serial('up places the devices of pools.yaml, and doctor tells of their memory and of who else is on them', async (t) => {
  t.timeout(1_200_000);
  const home = temporary();
  file(home, 'pools.yaml', 'gpu: cuda:0+1\n');
  const stand = nvidia(400, 700);
  const env = { PATH: `${stand.folder}:${process.env['PATH']}` };
  t.teardown(() => backspin(home, ['down']));
  const up = await backspin(home, ['up', '--detach'], env);
  t.is(up.code, 0, up.stderr);
  stand.processes({ index: 1, pid: process.pid, used: 300, name: 'node' });
  const doctor = await backspin(home, ['doctor', '--json'], env);
  const { findings } = JSON.parse(doctor.stdout) as { findings: { what: string; is: string; problem?: string }[] };
  t.deepEqual(
    findings.filter(({ what }) => what.startsWith('CUDA')),
    [
      { what: 'CUDA device 0', is: `400 of 80000 MiB in use (${uuid(0)})` },
      {
        what: 'CUDA device 1',
        is: `700 of 80000 MiB in use (${uuid(1)})`,
        problem: `Backspin did not start process ${process.pid} (node) with 300 MiB: stop it, or take the device out of its pool.`,
      },
    ],
  );
});
