/** MuSC through everything, by the command a user types; and its batch and its training, killed. */
import test from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { StepView, View } from '../../cli/view.ts';
import { hit } from '../../cli/chaos/disturb.ts';
import { parts } from '../../cli/chaos/parts.ts';
import type { Rec } from '../../recipe/define.ts';
import type { Scored, WeightedPair } from '../../operators/musc/records.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { Miniature } from '../support/miniature.ts';

const file = join(import.meta.dirname, '../support/musc.yaml');
const world = new Miniature({ groups: 1 }, { file, name: 'musc-miniature' });
const step = (of: View, path: string): StepView => of.steps.find((one) => one.path === path)!;
let view: View;
async function records<T>(path: string): Promise<T[]> {
  const all: T[] = [];
  for await (const record of (await openStore(join(world.home, 'store'))).read({ digest: step(view, path).output!.digest }))
    all.push((record as Rec<T>).value);
  return all;
}

test.before(async () => {
  await world.up();
  await world.launch();
  await world.until(() => world.completed, 300_000, 'the experiment is completed');
  view = await world.status();
});
test.after.always(async () => {
  await world.down();
  world.remove();
});

test.serial('every answer is measured token by token, under its own instruction and under the other, by no server', async (t) => {
  const { in: of, kept, requests } = step(view, 'r1/measureConfidence');
  t.deepEqual([of, kept, requests], [step(view, 'r1/respond').kept, of, 0]);
  for (const { confidence } of await records<Scored>('r1/measureConfidence'))
    for (const { ids, own, other, ownEntropy, otherEntropy, kl, reverseKl, none, hash } of Object.values(confidence)) {
      for (const each of [own, other, ownEntropy, otherEntropy, kl, reverseKl]) t.is(each.length, ids.length);
      t.true([...own, ...other].every((logprob) => logprob <= 0));
      t.true([...ownEntropy, ...otherEntropy, ...kl, ...reverseKl].every((nats) => nats >= 0));
      t.is(ids.at(-1), 1, 'the end token');
      t.is(none, null);
      t.regex(hash, /^[0-9a-f]{64}$/);
    }
  for (const { chosen, rejected } of await records<WeightedPair>('r1/weigh'))
    for (const { ids, weights } of [chosen, rejected]) t.is(weights.length, ids.length);
});

/** Makes a step anew, kills its child on the way, and gives the experiment at its end. */
async function killed(path: string, name: string): Promise<View> {
  const { stepKey } = step(view, path);
  rmSync(pathsOf(join(world.home, 'store')).output(stepKey!));
  await world.run('launch', file, '--name', name);
  await world.until(() => parts.trainer.processes(world, stepKey!).length > 0, 60_000, 'its child has begun');
  await hit(world, 'trainer', 'SIGKILL', stepKey!);
  await world.run('watch', name);
  return JSON.parse(await world.run('status', name, '--json')) as View;
}

for (const [path, name] of [
  ['r1/measureConfidence', 'batch'],
  ['r1/policy', 'training'],
  ['r1/plain/policy', 'plain'],
] as const)
  test.serial(`${path}, killed, is done again by another child, to the same bytes`, async (t) => {
    const again = await killed(path, name);
    t.is(step(again, path).output!.digest, step(view, path).output!.digest);
    t.deepEqual(
      again.steps.filter(({ memoised }) => !memoised).map((one) => one.path),
      [path],
    );
  });
