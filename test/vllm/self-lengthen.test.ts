/** Self-Lengthen on vLLM, by the command: the base as writer and judge, and in each round a generator and an extender that continue the
 *  adapters of the round before. Trainings have devices of their own. */
import test from 'ava';
import { join } from 'node:path';
import type { View } from '../../experiments/view.ts';
import { homeOf, starts } from './support.ts';

const FILE = join(import.meta.dirname, '../support/rote-lengthen.yaml');
const sets = [
  'serving={ engine: vllm, dtype: float32, slots: 4, arguments: { enforce-eager: true } }',
  'training.pool=training',
  'parameters.rounds=2',
  'parameters.sft.lora={ rank: 8, alpha: 16 }',
].flatMap((set) => ['--set', set]);
const { run, logs } = homeOf('cpu: { groups: 1, keepWarm: 1h }\ntraining: { groups: 1 }\n');

test.before(() => run('up', '--detach'));
test.afterEach.always((t) => {
  if (!t.passed) t.log(logs().slice(-20_000)); // they go with the home
});
test.after.always(() => run('down'));

test('one start of one server carries the base and all adapters through the rounds of Self-Lengthen', async (t) => {
  t.timeout(2_400_000);
  await run('launch', FILE, ...sets, '--watch');
  const { state, steps } = JSON.parse(await run('status', 'rote-lengthen', '--json')) as View;
  t.is(state, 'completed');
  const asked = steps.filter(({ kind, requests }) => kind === 'map' && requests! > 0);
  const rounds = ['r1/', 'r2/'].flatMap((round) => ['propose', 'write', 'lengthen'].map((name) => round + name));
  t.deepEqual(asked.map(({ path }) => path).toSorted(), [...rounds, 'demand', 'propose', 'write'].toSorted());
  for (const { path, kept } of asked) t.true(kept! > 0, path);
  t.is(starts(logs()), 1);
  const loaded = logs().match(/Loaded new LoRA adapter/g);
  t.is(loaded?.length, 3, 'generator and extender of the first round, and the generator of the second');
});
