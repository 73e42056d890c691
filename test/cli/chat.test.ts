/** A conversation with a model of an experiment, on the embedded server. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import type { Step } from '../../schemas/experiment.ts';
import { openStore } from '../../store/local.ts';
import { backspin, command, root, until } from './cli.ts';
import { home as homeOf } from './completed.ts';

const about = {
  from: null,
  base: null,
  dataset: null,
  template: null,
  settings: null,
  steps: 1,
  lastLearningRate: null,
  determinism: 'exact',
} as const;

async function homeWithModel(): Promise<string> {
  const folder = await homeOf();
  const store = await openStore(join(folder, 'store'));
  const result = await store.putModel(join(root, 'examples/textworld/base/plain'), { ...about, state: 'weights' } as never);
  const record = (await store.experiment('toy'))!;
  const step = { ...record.steps[0]!, path: 'r1/forward', name: 'forward', kind: 'train', stepKey: null, result } as Step;
  const config = {
    ...(record.config as object),
    serving: { pool: 'cpu', engine: 'embedded', slots: 2, threads: 1, maxModelLength: null, replicas: 1 },
  };
  await store.putExperiment({ ...record, config, steps: [...record.steps, step] });
  return folder;
}
const talk = (home: string, ...args: string[]) => {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')));
  const env = { ...own, BACKSPIN_HOME: home, TEMPORAL_CONFIG_FILE: join(home, 'none.toml'), NO_COLOR: '1' };
  return spawn(process.execPath, [command, 'chat', 'toy', ...args, '--temperature', '0', '--max-tokens', '8'], { cwd: home, env });
};

test('each line is a turn that the model answers with those before it; at the end, and after a kill, no lease is held', async (t) => {
  t.timeout(1_200_000);
  const home = await homeWithModel();
  t.teardown(() => backspin(home, ['down']));
  const child = talk(home, '1', '--system', 'Be brief.');
  child.stdin.end('What is a river?\n\nAnd a sea?\n');
  let said = '';
  let faults = '';
  child.stderr.on('data', (text: Buffer) => (faults += text.toString()));
  for await (const line of createInterface(child.stdout)) said += `${line}\n`;
  t.is((await once(child, 'close'))[0], 0, faults);
  t.regex(said, /^r1\/forward of toy\./);
  t.is(said.trim().split('\n').length, 3, said + faults);

  const killed = talk(home);
  killed.stdin.write('What is a river?\n');
  const trials = () => readdirSync(join(home, 'store/experiments')).filter((name) => name.startsWith('trial-'));
  await until(() => trials().length > 0, 'a turn begins');
  killed.kill('SIGKILL');
  // The turn ends by itself, and its lease with it; the next command that asks a model removes its record.
  await until(() => globSync(join(home, 'inflight/*/*')).length === 0, 'nothing runs any more');
  const { stdout } = await backspin(home, ['list', '--json']);
  t.notRegex(stdout, /"state": "(attention|running)"/);
});

test('a round without a model is named', async (t) => {
  const home = await homeWithModel();
  const child = talk(home, '3');
  child.stdin.end();
  let faults = '';
  child.stderr.on('data', (text: Buffer) => (faults += text.toString()));
  t.is((await once(child, 'close'))[0], 1);
  t.regex(faults, /toy has no model of round 3; it has r1\/forward/);
});
