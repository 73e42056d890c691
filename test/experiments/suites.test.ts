import test from 'ava';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { temporary } from '../cli/cli.ts';
import { fault, sound, world, write } from './written.ts';

const judged = `${sound
  .replace('evaluation:', `  teacher: { path: ${world}/base/plain }\nevaluation:`)
  .replace(
    '{ suite: textworld.forward, params: { seed: 0 } }',
    '{ suite: back-and-forth.winRate, with: { judge: teacher }, params: { items: [{ instruction: Why?, reference: So. }] } }',
  )}roles: { judge: { slots: 4 } }\n`;

test('a suite has the models in its roles that the file casts, which the recipe need not know; so has its fork', async (t) => {
  const { bound } = await loadExperiment(write(judged));
  t.deepEqual(bound.evaluation['forward']!.with, { judge: 'teacher' });
  t.is(bound.roles['judge']!.slots, 4);
  t.deepEqual((await rebind(bound, [], 'child')).bound.evaluation, bound.evaluation);
  const { steps, missing } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  const measured = steps.find(({ path }) => path === 'evaluate-forward')!;
  t.true(measured.needs.includes('model-teacher'));
  t.is(measured.requests, 3);
});

test('a role of a suite without a model is named, and how to cast it', async (t) => {
  const bare = judged
    .replace(/ {2}teacher: .*\n/, '')
    .replace('with: { judge: teacher }, ', '')
    .replace(/roles: .*\n/, '');
  t.regex(
    await fault(t, bare),
    /9:3 evaluation\.forward: the suite back-and-forth\.winRate asks a model in the role judge: name it under `with`, as in with: \{ judge: base \}/,
  );
});

for (const [title, from, to, says] of [
  [
    'a role that its suite has not',
    '{ judge: teacher }',
    '{ judge: teacher, judges: teacher }',
    /with\.judges: .*casts no such role; the nearest is "judge"/,
  ],
  [
    'a model in the role that is measured',
    '{ judge: teacher }',
    '{ judge: teacher, model: base }',
    /with\.model: .*no such role, being what it measures/,
  ],
  [
    'a model that the file has not',
    '{ judge: teacher }',
    '{ judge: techer }',
    /with\.judge: there is no techer under `models`; the nearest is "teacher"/,
  ],
  [
    'a model in no role and for no recipe',
    'with: { judge: teacher }',
    'with: { judge: base }',
    /models\.teacher: the recipe humpback has no use for this/,
  ],
  ['a model that is called as a parameter is', /teacher/g, 'rounds', /models\.rounds: the recipe humpback has something else of this name/],
] as const)
  test(`${title} is refused, by name`, async (t) => t.regex(await fault(t, judged.replace(from, to)), says));
