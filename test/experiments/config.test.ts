import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { fault, sound, world, write } from './written.ts';

test('a sound file is bound: named after itself, defaults filled in, paths absolute', async (t) => {
  const { bound } = await loadExperiment(write(sound));
  t.is(bound.name, 'experiment');
  t.is(bound.serving.pool, 'cpu');
  t.deepEqual(bound.models['base'], { path: join(world, 'base/rated') });
  t.like(bound.parameters, { rounds: 2, judge: 'rating', keep: { threshold: 4 } });
  t.like(bound.data['seed'], { source: 'textworld.seed', params: { seed: 0, size: 'full' } });
});

test('the digest is that of what the file says, not of how it is written', async (t) => {
  const path = write(sound);
  const { digest } = await loadExperiment(path);
  writeFileSync(path, `# a comment\n${sound.replace('{ threshold: 4 }', '\n    threshold: 4.0')}`);
  t.is((await loadExperiment(path)).digest, digest);
  writeFileSync(path, sound.replace('threshold: 4', 'threshold: 5'));
  t.not((await loadExperiment(path)).digest, digest);
});

test('cycle-instruct takes documents or pairs: none and both are refused', async (t) => {
  const given = (...names: string[]) => `recipe: cycle-instruct
modules: [${world}/module.ts]
data: { ${names.map((name) => `${name}: { source: textworld.corpus, params: { seed: 0 } }`).join(', ')} }
models:
  base: { path: ${world}/base/plain }
`;
  for (const names of [[], ['documents', 'pairs']])
    t.regex(await fault(t, given(...names)), /data: must have just one of documents and pairs/);
  t.is((await loadExperiment(write(given('pairs')))).bound.recipe, 'cycle-instruct');
});

test('musc makes up instructions from demos: without them the file is refused, before anything runs', async (t) => {
  const given = (demos: string) => `recipe: musc
modules: [${world}/module.ts]
data: { queries: { source: textworld.corpus, params: { seed: 0 } }${demos} }
models:
  policy: { path: ${world}/base/plain }
parameters:
  selfMade: 3
`;
  t.regex(await fault(t, given('')), /parameters\.selfMade: to make up instructions takes `demos` under `data`; give them, or say 0/);
  t.is((await loadExperiment(write(given(', demos: { source: textworld.corpus, params: { seed: 0 } }')))).bound.recipe, 'musc');
});

const faults: readonly (readonly [title: string, from: string, to: string, says: RegExp])[] = [
  ['an unknown key', 'rounds: 2', 'ronds: 2', /experiment\.yaml:11:3 parameters\.ronds: unknown key; the nearest is "rounds"/],
  [
    'an unknown key at the top',
    'evaluation:',
    'evaluations:',
    /experiment\.yaml:8:1 evaluations: unknown key; the nearest is "evaluation"/,
  ],
  ['a value of another type', 'rounds: 2', 'rounds: two', /experiment\.yaml:11:11 parameters\.rounds: is "two"; expected a number/],
  ['an unknown recipe', 'humpback', 'humpbak', /experiment\.yaml:1:9 recipe: .*none of air, [\w, -]+, tegit; the nearest is "humpback"/],
  [
    'a missing source',
    '  seed: {',
    '  sead: {',
    /experiment\.yaml:3:1 data\.seed: is missing; the recipe humpback needs it\n.*:4:3 data\.sead: .*the nearest is "seed"/,
  ],
  [
    'an unregistered source',
    'textworld.seed,',
    'textworld.seeds,',
    /experiment\.yaml:4:19 data\.seed\.source: There is no source "textworld\.seeds"; the nearest is textworld\.seed/,
  ],
  [
    'a parameter that a source does not have',
    'params: { seed: 0 } }\n  corpus',
    'params: { sed: 0 } }\n  corpus',
    /experiment\.yaml:4:45 data\.seed\.params\.sed: unknown key; the nearest is "seed"/,
  ],
  [
    'an unknown suite',
    'textworld.forward',
    'textworld.forwards',
    /experiment\.yaml:9:21 evaluation\.forward\.suite: .*the nearest is textworld\.forward/,
  ],
  [
    'something the recipe does not evaluate',
    '  forward: {',
    '  forwards: {',
    /experiment\.yaml:9:3 evaluation\.forwards: .*the nearest is "forward"/,
  ],
  ['a module that is not there', 'module.ts', 'modul.ts', /experiment\.yaml:2:11 modules\.0: cannot be loaded: /],
  [
    'a model folder that is not there',
    'base/rated',
    'base/none',
    /experiment\.yaml:7:17 models\.base\.path: .*base\/none is not a folder that can be read/,
  ],
  ['an alternative half given', 'path:', 'pth:', /experiment\.yaml:7:11 models\.base\.pth: unknown key; the nearest is "path"/],
  ['text that is not YAML', '  rounds: 2', '  rounds: [2', /experiment\.yaml:1[12]:\d+: flow sequence/],
  ['a key given twice', '  rounds: 2', '  rounds: 2\n  rounds: 3', /experiment\.yaml:12:3: map keys must be unique/],
  [
    'a prompt that is not registered',
    '  rounds: 2',
    '  prompts: { judge: textworld.rat }',
    /experiment\.yaml:11:21 parameters\.prompts\.judge: There is no prompt "textworld\.rat"; the nearest is textworld\.rate/,
  ],
];
for (const [title, from, to, says] of faults) {
  test(`${title} is named with file, line, column, path and what may have been meant`, async (t) => {
    t.true(sound.includes(from));
    t.regex(await fault(t, sound.replace(from, to)), says);
  });
}

test('all problems are listed, in the order of the file', async (t) => {
  const lines = (
    await fault(t, sound.replace('rounds: 2', 'rounds: two').replace('threshold: 4', 'treshold: 4').replace('path:', 'pth:'))
  ).split('\n');
  const places = lines.map((line) => Number(/\.yaml:(\d+)/.exec(line)?.[1]));
  t.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  t.true(new Set(places).size === 3);
});

test('--set changes one value, read as YAML, and a fault in it names it', async (t) => {
  const path = write(sound);
  t.like((await loadExperiment(path, ['parameters.rounds=3', 'parameters.arms=[random]'])).bound.parameters, {
    rounds: 3,
    arms: ['random'],
  });
  t.is((await loadExperiment(path, ['serving.slots=8'])).bound.serving.slots, 8);
  t.regex(
    await fault(t, sound, 'parameters.ronds=3'),
    /^--set parameters\.ronds=3 parameters\.ronds: unknown key; the nearest is "rounds"$/,
  );
  t.regex(await fault(t, sound, 'parameters.rounds'), /--set parameters\.rounds: a path and a value are needed/);
});

test('a role has what it says of its own, and all else from `serving`', async (t) => {
  const { bound } = await loadExperiment(write(`${sound}serving: { slots: 8, pool: big }\nroles: { scorer: { slots: 4 } }\n`));
  t.like(bound.roles['scorer'], { slots: 4, pool: 'big' });
});

test('a bound configuration can be changed and bound again, as a fork does', async (t) => {
  const { bound } = await loadExperiment(write(`${sound}roles: { scorer: { slots: 4 } }\n`));
  const again = await rebind(bound, ['parameters.keep.threshold=5', 'serving.pool=big'], 'child');
  t.deepEqual({ ...again.bound, name: bound.name, serving: bound.serving, roles: bound.roles, parameters: bound.parameters }, bound);
  t.like(again.bound, { name: 'child', parameters: { keep: { threshold: 5 } }, roles: { scorer: { slots: 4, pool: 'big' } } });
});
