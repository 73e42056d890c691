/** Worker jobs in Slurm, on stand-ins for its commands: what a real one does not do on demand. test/hosts/slurm.test.ts has a real one. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { readPools, readSlurmPools } from '../../host/pools.ts';
import { SlurmController } from '../../host/slurm/controller.ts';
import { milliseconds, SlurmJobs } from '../../host/slurm/jobs.ts';
import { slurmSettings } from '../../host/slurm/settings.ts';
import { backspin, file, temporary } from '../cli/cli.ts';
import { FakeSlurm } from '../support/fake-slurm.ts';

/** A controller, and the world that it sees. */
function controlled(settings: object = {}, slurm = new FakeSlurm(), env = slurm.env) {
  const parsed = slurmSettings.parse(settings);
  const demand = { needed: true, polling: new Set<string>() };
  const said: (string | null)[] = [];
  const jobs = new SlurmJobs('backspin-store-gpu', 'gpu', parsed, ['/opt/back spin', 'x'], env);
  const controller = new SlurmController({
    pool: 'gpu',
    settings: parsed,
    jobs,
    demand: async () => demand,
    report: async (sentence) => void said.push(sentence),
  });
  /** The job runs, and its worker polls. */
  const up = (id: number, left?: string) => {
    slurm.set(id, 'RUNNING', left);
    demand.polling.add(`${id}`);
  };
  return { slurm, demand, said, controller, up, last: () => said.at(-1) };
}
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

test('while a pool has work, one job after the other is submitted, up to the limit: the next once the last one polls', async (t) => {
  const { slurm, controller, up } = controlled({ jobs: 2 });
  await controller.turn(0);
  await controller.turn(1);
  t.deepEqual(slurm.states, ['PENDING']);
  slurm.set(1, 'RUNNING'); // it starts, and its worker is not up
  await controller.turn(2);
  t.deepEqual(slurm.states, ['RUNNING']);
  up(1);
  await controller.turn(3);
  t.deepEqual(slurm.states, ['RUNNING', 'PENDING']);
  up(2);
  await controller.turn(4);
  t.is(slurm.states.length, 2);
});

test('a pool without work gets no job, and a job that still waits is given back once there is none for a while', async (t) => {
  const { slurm, controller, demand } = controlled({ idleExit: '5m' });
  demand.needed = false;
  await controller.turn(0);
  t.deepEqual(slurm.states, []);
  demand.needed = true;
  await controller.turn(MINUTE);
  demand.needed = false;
  await controller.turn(5 * MINUTE);
  t.deepEqual(slurm.states, ['PENDING']);
  await controller.turn(7 * MINUTE);
  t.deepEqual(slurm.states, ['CANCELLED']);
});

test('the successor of a job is queued before its time is over, once, and waits for it though the pool has no backlog', async (t) => {
  const { slurm, controller, demand, up } = controlled({ jobs: 1, ahead: '10m', idleExit: '5m' });
  await controller.turn(0);
  up(1, '11:00');
  demand.needed = false;
  await controller.turn(MINUTE);
  t.is(slurm.states.length, 1);
  up(1, '9:59');
  await controller.turn(2 * MINUTE);
  await controller.turn(9 * MINUTE);
  t.deepEqual(slurm.states, ['RUNNING', 'PENDING']);
  up(2);
  await controller.turn(10 * MINUTE);
  t.is(slurm.states.length, 2);
  t.regex(slurm.read('script-2'), /--idle-exit 600s/); // it must not end before the first one
});

test('what Slurm refuses reaches people in its own words, is tried again with growing pauses, and is forgotten once a worker is up', async (t) => {
  const { slurm, controller, last, up, said } = controlled();
  slurm.write('refuse', 'sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n');
  await controller.turn(0);
  t.regex(last()!, /takes no worker job for the pool gpu: .*Invalid account.*pause of 30 s/);
  await controller.turn(29 * SECOND);
  t.is(said.length, 1);
  await controller.turn(30 * SECOND);
  t.regex(last()!, /pause of 60 s/);
  slurm.write('refuse', '');
  execFileSync('rm', [join(slurm.folder, 'refuse')]);
  await controller.turn(80 * SECOND);
  t.deepEqual(slurm.states, []);
  await controller.turn(90 * SECOND);
  t.deepEqual(slurm.states, ['PENDING']);
  up(1);
  await controller.turn(100 * SECOND);
  t.is(last(), null);
  slurm.write('refuse', 'sbatch: error: QOSMaxSubmitJobPerUserLimit\n'); // for another job beside them
  up(2);
  await controller.turn(110 * SECOND);
  await controller.turn(120 * SECOND);
  t.regex(last()!, /QOSMaxSubmitJobPerUserLimit.*pause of 30 s/);
});

test('a job that never starts says why, in the words of squeue', async (t) => {
  const { slurm, controller, last, said } = controlled();
  await controller.turn(0);
  slurm.set(1, 'PENDING', '1:00:00', 'PartitionTimeLimit');
  await controller.turn(1);
  t.regex(last()!, /pool gpu waits for the Slurm job 1 \(PENDING, PartitionTimeLimit\)/);
  await controller.turn(2);
  t.is(said.length, 2); // nothing, and this
});

test('a job that dies after its worker was up is replaced at once; one whose worker never came up, after a pause, and its log is named', async (t) => {
  const { slurm, controller, last, up } = controlled();
  await controller.turn(0);
  up(1);
  await controller.turn(1);
  t.is(slurm.states.length, 2);
  slurm.set(1, 'NODE_FAIL');
  slurm.set(2, 'FAILED', '0:00', 'NonZeroExitCode');
  await controller.turn(2);
  t.regex(last()!, /job 2 of the pool gpu ended \(FAILED, NonZeroExitCode\) before its worker was up: see backspin-gpu-2\.log/);
  t.is(slurm.states.length, 2);
  await controller.turn(2 + 30 * SECOND);
  t.is(slurm.states.length, 3);
  up(3);
  await controller.turn(3 + 30 * SECOND);
  slurm.set(3, 'NODE_FAIL');
  slurm.set(4, 'CANCELLED'); // by a person
  await controller.turn(4 + 30 * SECOND);
  t.is(slurm.states.length, 5);
});

test('a controller that starts anew goes on with the jobs that it finds', async (t) => {
  const first = controlled();
  await first.controller.turn(0);
  const second = controlled({}, first.slurm);
  await second.controller.turn(0);
  t.is(first.slurm.states.length, 1);
});

test('Slurm that does not answer, or is not there, is a sentence, and the controller goes on', async (t) => {
  const { slurm, controller, said } = controlled();
  slurm.write('silent', '');
  const stop = new AbortController();
  const running = controller.run(stop.signal);
  while (said.length === 0) await delay(20);
  stop.abort();
  await running;
  t.regex(said[0]!, /pool gpu cannot be looked after \(slurm_load_jobs error: Unable to contact slurm controller\)/);
  const without = controlled({}, slurm, { PATH: '/no/such/folder' });
  await t.throwsAsync(without.controller.turn(), { message: 'squeue is not on the PATH of this host' });
});

test('a job is submitted with its settings, the home of its node, and nothing of a job in which the controller runs', async (t) => {
  const slurm = new FakeSlurm();
  const settings = { partition: 'a100', gres: 'gpu:2', account: 'team', time: '4:00:00', extra: ['--mem=120G'], drain: '90s', groups: '2' };
  const env = { ...slurm.env, SLURM_JOB_ID: '7', SLURM_MEM_PER_NODE: '1', SLURM_CONF: '/etc/slurm.conf', AWS_REGION: 'x' };
  const { controller } = controlled(settings, slurm, env);
  await controller.turn(0);
  const args = slurm.read('args-1').trim().split('\n');
  for (const option of ['--partition=a100', '--gres=gpu:2', '--account=team', '--time=4:00:00', '--signal=B:TERM@90', '--mem=120G'])
    t.true(args.includes(option), option);
  t.true(args.includes('--job-name=backspin-store-gpu'));
  const script = slurm.read('script-1');
  t.regex(script, /^'\/opt\/back spin' x worker --pool gpu=2 --idle-exit 300s --drain-before 90s &$/m);
  const given = slurm.read('env-1');
  t.notRegex(given, /^SLURM_(JOB_ID|MEM)/m);
  t.regex(given, /^SLURM_CONF=/m);
  t.regex(given, /^AWS_REGION=x/m);
});

test('the script of a job hands SIGTERM to its worker, waits for its end, and removes its home', async (t) => {
  const slurm = new FakeSlurm();
  const folder = temporary();
  const worker = file(
    folder,
    'worker',
    '#!/bin/bash\nmkdir "$BACKSPIN_HOME"; trap "sleep 0.2; touch $TMPDIR/drained; exit 3" TERM; touch "$TMPDIR/up"; while :; do sleep 0.05; done\n',
  );
  const jobs = new SlurmJobs('name', 'gpu', slurmSettings.parse({}), ['bash', worker], slurm.env);
  await jobs.submit();
  const script = file(folder, 'script', slurm.read('script-1'));
  const run = `TMPDIR=${folder} SLURM_JOB_ID=5 bash ${script} & until [ -e ${folder}/up ]; do sleep 0.02; done; kill -TERM $!; wait $!; echo $?; ls ${folder}`;
  const said = execFileSync('bash', ['-c', run], { encoding: 'utf8' });
  t.deepEqual(said.trim().split('\n'), ['3', 'drained', 'script', 'up', 'worker']);
});

test('times of squeue are read, whatever their length', (t) => {
  for (const [text, seconds] of [
    ['59', 59],
    ['1:00', 60],
    ['4:00:00', 14_400],
    ['2-01:00:00', 176_400],
    ['UNLIMITED', Infinity],
    ['INVALID', Infinity],
  ] as const)
    t.is(milliseconds(text), seconds * 1000, text);
});

test.serial('pools.yaml names Slurm pools beside pools of the host, and says what is wrong with one', async (t) => {
  const home = temporary();
  process.env['BACKSPIN_HOME'] = home;
  file(home, 'pools.yaml', 'cpu: 1\ngpu:\n  slurm: { partition: a100, gres: gpu:1, time: 04:00:00, account: team, extra: [--mem=120G] }\n');
  t.deepEqual(Object.keys(readPools([])), ['cpu']);
  const { gpu } = readSlurmPools();
  t.like(gpu, { partition: 'a100', gres: 'gpu:1', time: '04:00:00', account: 'team', jobs: 4, drain: 120_000 });
  file(home, 'pools.yaml', 'gpu:\n  slurm: { partiton: a100, drain: soon }\n');
  const { message } = t.throws(() => readSlurmPools());
  t.regex(message, /partiton.*partition/s);
  t.regex(message, /a time such as 60s/);
  file(home, 'pools.yaml', 'gpu: { slurm: { partition: a100 } }\n');
  const { code, stderr } = await backspin(home, ['up']);
  t.is(code, 1);
  t.regex(stderr, /No Temporal server is named, and the Slurm jobs of the pool gpu need a common one/);
});
