/** What the experiments of a sweep share, before anything runs. */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadSweep } from '../../experiments/sweep.ts';
import { identitiesOf } from '../../plan/equal-steps.ts';
import { planned } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { root, temporary } from '../cli/cli.ts';

/** The miniature with a sweep. */
function miniature(sweep: string): string {
  const folder = temporary();
  for (const name of ['examples', 'recipe', 'schemas', 'node_modules', 'package.json']) symlinkSync(join(root, name), join(folder, name));
  cpSync(join(root, 'test/support'), join(folder, 'test/support'), { recursive: true });
  const file = join(folder, 'test/support/miniature.yaml');
  writeFileSync(file, `${readFileSync(file, 'utf8')}\nsweep: ${sweep}\n`);
  return file;
}

test('experiments share the steps before the one that a setting changes, and what draws differs by seed', async (t) => {
  t.timeout(600_000);
  const sweep = (await loadSweep(miniature('{ grid: { parameters.keep.share: [0.4, 0.5] }, seeds: 2 }')))!;
  t.deepEqual(
    sweep.members.map(({ experiment }) => experiment.bound.name),
    ['miniature-share-0-4-seed-0', 'miniature-share-0-4-seed-1', 'miniature-share-0-5-seed-0', 'miniature-share-0-5-seed-1'],
  );
  const services = await openServices(temporary());
  const plans = [];
  for (const { experiment } of sweep.members) {
    const { plan, calls } = await planned(services, experiment.bound);
    plans.push({ plan, identities: await identitiesOf(plan, calls, services.machine) });
  }
  const [first, otherSeed, otherShare] = plans;
  const same = (other: typeof first) =>
    first!.plan.steps.map(({ path }) => path).filter((path) => first!.identities.get(path) === other!.identities.get(path));
  const dependent = new Set(['r1/curated', 'r1/select']);
  for (const { path, needs } of first!.plan.steps) if (needs.some((need) => dependent.has(need))) dependent.add(path);
  const expected = first!.plan.steps.map(({ path }) => path).filter((path) => !dependent.has(path));
  t.true(expected.includes('r1/judge') && !expected.includes('r2/judge'));
  t.deepEqual(same(otherShare), expected);
  const sources = first!.plan.steps.filter(({ operation }) => /^(source|model):/.test(operation)).map(({ path }) => path);
  t.true(sources.every((path) => same(otherSeed).includes(path)));
  t.false(same(otherSeed).includes('backtranslate'));
  t.false(same(otherSeed).includes('r1/judge'), 'it judges other pairs');
});

test('names of experiments tell their settings, whatever else a sweep has, and no two are equal', async (t) => {
  const namesOf = async (sweep: string) => (await loadSweep(miniature(sweep)))!.members.map(({ experiment }) => experiment.bound.name);
  t.deepEqual(await namesOf('{ pairs: [{ parameters.rounds: 1, seed: 7 }, { parameters.rounds: 2, seed: 8 }] }'), [
    'miniature-rounds-1-seed-7',
    'miniature-rounds-2-seed-8',
  ]);
  const [one, two] = await namesOf('{ grid: { parameters.sft.warmup: [0.1, 0.10] } }').catch((error: Error) => [error.message]);
  t.regex(one!, /makes the experiment miniature-warmup-0-1 twice/);
  t.is(two, undefined);
});
