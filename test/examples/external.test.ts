/** A judge that somebody else serves, by the command a user types: the miniature with the embedded server, started by hand. */
import test from 'ava';
import { globSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openStore } from '../../store/local.ts';
import { backspin, file, root, temporary } from '../cli/cli.ts';
import { until } from '../support/devices.ts';
import { Elsewhere } from '../support/embedded.ts';
import { Miniature } from '../support/miniature.ts';

test('a round is judged by an external server that was away meanwhile; status says so, and the key is nowhere', async (t) => {
  const elsewhere = new Elsewhere();
  await elsewhere.start('rated');
  process.env['JUDGE_KEY'] = elsewhere.key;
  const scorer = `  scorer: { external: { model: judge, revision: "1", url: "${elsewhere.url}", key: { env: JUDGE_KEY } } }`;
  const text = readFileSync(resolve(import.meta.dirname, '../support/miniature.yaml'), 'utf8')
    .replaceAll('../../', `${root}/`)
    .replace('models:\n', `models:\n${scorer}\n`)
    .replace('rounds: 2', 'rounds: 1');
  const world = new Miniature({}, { file: file(temporary(), 'external.yaml', text), name: 'miniature' });
  const step = (path: string) => world.record.steps.find((one) => one.path === path);
  try {
    await world.up();
    await world.launch();
    await until(async () => (await world.status()).steps.some(({ name, state }) => name === 'model-scorer' && state === 'completed'));
    await elsewhere.kill();
    const held = await until(async () => (await world.status()).steps.find((one) => one.waits?.state === 'held'), 300_000);
    t.is(held.path, 'r1/judge');
    const { stdout } = await backspin(world.home, ['status', 'miniature']);
    t.regex(stdout, /judge .*held by http:\S+, /);
    t.regex(stdout, /r1\/judge is held since \S+ by http:\S+: .*ECONNREFUSED.* It goes on by itself\./);
    await elsewhere.start('rated');
    await world.until(() => world.completed, 300_000, 'the experiment is completed');

    const output = (await (await openStore(join(world.home, 'store'))).output(step('r1/judge')!.stepKey!))!;
    t.is(output.determinism, 'sampled');
    t.is([...elsewhere.answered().values()].length, output.requests);
    const { code, stderr } = await backspin(world.home, ['export', 'miniature', 'model-scorer', '--to', join(temporary(), 'model')]);
    t.is(code, 1);
    t.regex(stderr, /model-scorer is an external model: its weights are not here/);
  } finally {
    await elsewhere.kill();
    await world.down();
  }
  const files = globSync('**/*', { cwd: world.home }).map((name) => join(world.home, name));
  const whole = files.filter((path) => statSync(path).isFile());
  t.true(whole.some((path) => path.endsWith('temporal.db')) && whole.some((path) => path.endsWith('data.log')));
  t.deepEqual(
    whole.filter((path) => readFileSync(path).includes(elsewhere.key)),
    [],
  );
  world.remove();
});
