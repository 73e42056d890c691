/** Temporal's own server on PostgreSQL, prepared by `setup-server`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { View } from '../../experiments/view.ts';
import { backspin, temporary, until } from '../cli/cli.ts';
import { s3Program, S3Server } from '../support/s3.ts';
import { Deployment, digestsOfOneHost } from './deployment.ts';
import { Postgres } from './postgres.ts';
import { found } from './services.ts';
import { TemporalServer } from './temporal-server.ts';

const onPostgres = found.postgres && found.temporal && s3Program !== undefined && process.getuid?.() === 0 ? test.serial : test.skip;
const ONE_ROUND = ['--set', 'parameters.rounds=1'];

onPostgres(
  'setup-server prepares a server, and an experiment comes to the digests of one host though Temporal and PostgreSQL are killed',
  async (t) => {
    t.timeout(1_300_000);
    const alone = await digestsOfOneHost(ONE_ROUND);
    const postgres = await Postgres.start();
    const withTool = { ...postgres.env, PATH: `${found.temporal}:${process.env['PATH']}` };
    const home = temporary();
    for (const says of [/database temporal is made[^]*database temporal_visibility is made/, /temporal has the newest schema/]) {
      const { code, stdout, stderr } = await backspin(home, ['setup-server', '--schema'], withTool);
      t.is(code, 0, stderr);
      t.regex(stdout, says);
    }
    const temporal = await TemporalServer.start(postgres);
    const s3 = await S3Server.start();
    const deployment = new Deployment({ ...s3.env, TEMPORAL_ADDRESS: temporal.address, BACKSPIN_STORE: s3.address() });
    try {
      const early = await deployment.run('worker', '--orchestrator');
      t.is(early.code, 1);
      t.regex(early.stderr, /has no namespace default: `backspin setup-server` makes it/);
      for (const says of [
        /namespace default is made; it keeps closed experiments for 90 days/,
        /namespace default keeps .* for 120 days \(before: 90\)/,
      ]) {
        const { code, stdout, stderr } = await deployment.run(
          'setup-server',
          ...(/before/.test(says.source) ? ['--retention', '120'] : []),
        );
        t.is(code, 0, stderr);
        t.regex(stdout, says);
        t.regex(stdout, /search attributes are all there/);
      }
      await deployment.host(['--orchestrator', '--data', '--pool', 'cpu=1']).ready();
      const launched = await deployment.run('launch', deployment.file, ...ONE_ROUND);
      t.is(launched.code, 0, launched.stderr);
      const completed = async () => {
        const view = JSON.parse((await deployment.run('status', 'miniature', '--json')).stdout) as View;
        return view.steps.filter(({ state }) => state === 'completed').length;
      };
      await seen(async () => (await completed()) > 3);
      await temporal.kill();
      await temporal.resume();
      const before = await completed();
      await seen(async () => (await completed()) > before);
      await postgres.kill();
      await postgres.resume();
      const watched = await deployment.run('watch', 'miniature');
      t.is(watched.code, 0, watched.stdout + watched.stderr);
      t.deepEqual(await deployment.digests('miniature'), alone);
    } catch (error) {
      t.log(readFileSync(join(temporal.folder, 'log'), 'utf8').slice(-1500));
      throw error;
    } finally {
      await deployment.stop();
      await temporal.kill();
      await postgres.kill();
      await s3.kill();
    }
  },
);

async function seen(what: () => Promise<boolean>): Promise<void> {
  let last = false;
  for (const end = performance.now() + 600_000; !last && performance.now() < end;) last = await what();
  await until(() => last, 'progress');
}
