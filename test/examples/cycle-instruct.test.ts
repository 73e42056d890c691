/** Cycle-Instruct through everything, by the command a user types; and the step that embeds, killed. */
import test from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { StepView, View } from '../../cli/view.ts';
import { hit } from '../../cli/chaos/disturb.ts';
import { parts } from '../../cli/chaos/parts.ts';
import type { Rec } from '../../recipe/define.ts';
import type { Lying } from '../../operators/cycle-instruct/records.ts';
import { pathsOf } from '../../store/paths.ts';
import { openStore } from '../../store/local.ts';
import { Miniature } from '../support/miniature.ts';

const file = join(import.meta.dirname, '../support/cycle-instruct.yaml');
const world = new Miniature({ groups: 1 }, { file, name: 'cycle-miniature' });
const step = (of: View, path: string): StepView => of.steps.find((one) => one.path === path)!;
let view: View;

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

test.serial('every pair is placed, and of each cluster those that lie farthest are pruned', async (t) => {
  const [cluster, prune] = [step(view, 'cluster-pairs'), step(view, 'prune-pairs')];
  t.is(cluster.kept, step(view, 'cycled').kept);
  const placed: Lying[] = [];
  for await (const record of (await openStore(join(world.home, 'store'))).read({ digest: cluster.output!.digest }))
    placed.push((record as Rec<Lying>).value);
  t.true(placed.every((value) => value.cluster === 0 && value.distance >= 0 && value.distance <= 2));
  t.true(new Set(placed.map(({ distance }) => distance)).size > 5);
  t.true(
    placed.every((value) => value.distance < 1e-5 === (value.found === value.again)),
    'what comes back as it was lies where it was',
  );
  t.is(prune.dropped['inconsistent'], Math.floor(0.1 * placed.length + 0.5));
});

test.serial('an embedding that is killed is done again, by another child, to the same bytes', async (t) => {
  const { stepKey, output } = step(view, 'cluster-pairs');
  rmSync(pathsOf(join(world.home, 'store')).output(stepKey!));
  await world.run('launch', file, '--name', 'again');
  await world.until(() => parts.trainer.processes(world, stepKey!).length > 0, 60_000, 'the embedding has begun');
  const { replaced } = await hit(world, 'trainer', 'SIGKILL', stepKey!);
  t.true(replaced !== null);
  await world.run('watch', 'again');
  const again = JSON.parse(await world.run('status', 'again', '--json')) as View;
  t.is(step(again, 'cluster-pairs').output!.digest, output!.digest);
  t.false(step(again, 'cluster-pairs').memoised);
  t.deepEqual(
    again.steps.filter(({ memoised }) => !memoised).map(({ path }) => path),
    ['cluster-pairs'],
  );
});
