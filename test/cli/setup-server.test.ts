import { TestWorkflowEnvironment } from '@temporalio/testing';
import test from 'ava';
import { readSetup } from '../../host/setup.ts';
import { backspin, temporary } from './cli.ts';

test('without its tool, PostgreSQL or a server, setup-server says what to do', async (t) => {
  const home = temporary();
  const without = await backspin(home, ['setup-server', '--schema'], { SQL_HOST: '127.0.0.1', PATH: '/usr/bin' });
  t.is(without.code, 1);
  t.regex(
    without.stderr,
    /temporal-sql-tool is not on the PATH[^]*temporal-sql-tool --plugin postgres12 --database temporal create-database/,
  );
  const nowhere = await backspin(home, ['setup-server', '--schema']);
  t.regex(nowhere.stderr, /Say where PostgreSQL is: set SQL_HOST/);
  const unnamed = await backspin(home, ['setup-server']);
  t.is(unnamed.code, 1);
  t.regex(unnamed.stderr, /No Temporal server is named/);
});

test('setup-server makes a namespace, raises its retention, never lowers it, and adds the search attributes; without it, commands name it', async (t) => {
  const env = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path: readSetup().temporal } } });
  t.teardown(() => env.teardown());
  const home = temporary();
  const named = { TEMPORAL_ADDRESS: env.address, TEMPORAL_NAMESPACE: 'team' };
  const early = await backspin(home, ['up'], named);
  t.is(early.code, 1);
  t.regex(early.stderr, /has no namespace team: `backspin setup-server` makes it/);
  for (const [days, says] of [
    ['7', /namespace team is made; it keeps closed experiments for 7 days/],
    ['9', /keeps closed experiments for 9 days \(before: 7\)/],
    ['8', /keeps closed experiments for 9 days\.$/m],
  ] as const) {
    const { code, stdout, stderr } = await backspin(home, ['setup-server', '--retention', days], named);
    t.is(code, 0, stderr);
    t.regex(stdout, says);
    t.regex(stdout, /search attributes are all there/);
  }
});
