/** Worker jobs in a real Slurm. test/host/slurm.test.ts has what it does not do on demand. */
import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import test from 'ava';
import { startedWith, textOf } from '../../host/proc.ts';
import { fairQueues } from '../../host/server.ts';
import { readSetup } from '../../host/setup.ts';
import { temporary } from '../cli/cli.ts';
import { s3Program, S3Server } from '../support/s3.ts';
import { Deployment, digestsOfOneHost } from './deployment.ts';
import { found } from './services.ts';
import { Slurm } from './slurm.ts';

const withSlurm = found.slurm && s3Program !== undefined && process.getuid?.() === 0 ? test.serial : test.skip;
/** So many rounds that jobs of a minute must take turns. */
const ROUNDS = ['--set', 'parameters.rounds=10'];
const JOBS = 10;

withSlurm('an experiment goes through jobs of a minute, some of them killed, to the digests of one host, and no job is left', async (t) => {
  t.timeout(2_600_000);
  const alone = await digestsOfOneHost(ROUNDS);
  const slurm = await Slurm.start();
  const s3 = await S3Server.start();
  const temporal = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'existing-path', path: readSetup().temporal }, extraArgs: fairQueues },
  });
  const deployment = new Deployment({
    ...s3.env,
    ...slurm.env,
    TEMPORAL_ADDRESS: temporal.address,
    BACKSPIN_STORE: s3.address(),
    TMPDIR: temporary(),
  });
  try {
    const home = temporary();
    // Slurm signals up to a minute early: of a minute nothing would be left. So the limit itself ends these jobs, five seconds after TERM.
    const extra = ['--signal=B:URG@1'];
    const pool = { partition: 'gpu', gres: 'gpu:1', time: 1, groups: 1, jobs: 1, drain: '10s', ahead: '30s', idleExit: '40s', extra };
    writeFileSync(join(home, 'pools.yaml'), JSON.stringify({ cpu: { slurm: pool } }));
    await deployment.host(['--orchestrator', '--data'], home).ready();
    const launched = await deployment.run('launch', deployment.file, ...ROUNDS);
    t.is(launched.code, 0, launched.stderr);
    const killing = new AbortController();
    const killer = killTwoOfThree(slurm, killing.signal);
    const watched = await deployment.run('watch', 'miniature');
    killing.abort();
    t.is(watched.code, 0, watched.stdout + watched.stderr);
    t.deepEqual(await deployment.digests('miniature'), alone);
    const killed = await killer;
    t.true(killed > 1, `${killed} killed`);
    t.log(`${slurm.ended.length} jobs: ${slurm.ended.join(' ')}; ${killed} of them killed`);
    t.true(slurm.ended.length >= JOBS, `${slurm.ended.length} jobs`);
    await until(() => slurm.run('squeue', '-h') === '' && startedWith('SLURM_JOB_ID=').length === 0);
  } finally {
    t.log(
      globSync(join(deployment.folder, '*.log'))
        .map((file) => textOf(file).slice(-300))
        .join('\n')
        .slice(-2000),
    );
    await deployment.stop();
    slurm.stop();
    await temporal.teardown();
    await s3.kill();
  }
});

/** Kills two of three jobs in their midst; the others come to their time limit. Returns their number. */
async function killTwoOfThree(slurm: Slurm, signal: AbortSignal): Promise<number> {
  const killed = new Set<string>();
  while (!signal.aborted) {
    const running = slurm.run('squeue', '-h', '-t', 'R', '-o', '%i|%M').trim().split('\n');
    for (const [id, time] of running.map((line) => line.split('|'))) {
      if (Number(id) % 3 === 0 || killed.has(id!) || time! < '0:30') continue;
      slurm.kill(id!);
      killed.add(id!);
    }
    await delay(1_000, undefined, { signal }).catch(() => {});
  }
  return killed.size;
}

async function until(what: () => boolean): Promise<void> {
  for (const end = performance.now() + 300_000; !what(); await delay(200))
    if (performance.now() > end) throw new Error('not within 5 minutes');
}
