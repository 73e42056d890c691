/** A home belongs to one host at a time. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Up } from '../../host/home.ts';
import { alive } from '../../devices/processes.ts';
import { backspin, temporary, until } from '../cli/cli.ts';

const elsewhere = JSON.stringify({ id: '0'.repeat(32), name: 'elsewhere', since: '2026-11-21T00:00:00.000Z' });

test('a home of another host is refused by up and down, told by doctor, and free after the command in the sentence', async (t) => {
  const home = temporary();
  const file = join(home, 'host.json');
  mkdirSync(home, { recursive: true });
  writeFileSync(file, elsewhere);
  const said =
    /belongs to the host elsewhere since 2026-11-21.*, and this is .*: two hosts cannot share a home\..*If elsewhere is gone for good, `(rm .*)` gives/;
  for (const args of [['up'], ['up', '--detach'], ['down']]) {
    const { code, stderr } = await backspin(home, args);
    t.is(code, 1);
    t.regex(stderr, said);
    t.is(readFileSync(file, 'utf8'), elsewhere);
  }
  const { stdout } = await backspin(home, ['doctor']);
  t.regex(stdout, said);
  execFileSync('sh', ['-c', said.exec(stdout)![1]!]);

  const up = () => backspin(home, ['up', '--detach']);
  t.is((await up()).code, 0);
  t.like(JSON.parse(readFileSync(file, 'utf8')), { name: hostname() });
  const { pid, start } = JSON.parse(readFileSync(join(home, 'up.json'), 'utf8')) as Up;
  process.kill(pid, 'SIGKILL');
  t.true(existsSync(file), 'what has crashed may have left something here');
  await until(() => !alive(pid, start), 'it is dead');
  writeFileSync(file, ''); // as a power failure leaves it
  t.is((await up()).code, 0, 'the same host goes on');
  t.like(JSON.parse(readFileSync(file, 'utf8')), { name: hostname() });
  t.is((await backspin(home, ['down'])).code, 0);
  t.false(existsSync(file), 'any host may have it now');
});
