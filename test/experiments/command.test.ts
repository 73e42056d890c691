import { join } from 'node:path';
import test from 'ava';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { file, temporary } from '../cli/cli.ts';
import { fault, sound, write } from './written.ts';

const program = join(import.meta.dirname, '../support/command-trainer.mjs');
const training = (line: string) => `${sound}training: { ${line} }\n`;

test('a training command is bound to the version of its program and to its configuration file, and a fork has the same', async (t) => {
  const config = file(temporary(), 'sft.yaml', 'out: {output}\n');
  const { bound } = await loadExperiment(write(training(`engine: command, run: [${program}, "{config}"], config: ${config}`)));
  t.deepEqual(bound.training.command, {
    run: [program, '{config}'],
    config: { path: config, text: 'out: {output}\n' },
    version: 'command-trainer 1.2',
  });
  t.deepEqual((await rebind(bound, [], 'child')).bound.training, bound.training);
  const elsewhere = await loadExperiment(write(training('engine: command, run: [no-such-trainer], version: "3"')));
  t.like(elsewhere.bound.training, { pool: 'cpu', command: { run: ['no-such-trainer'], config: null, version: '3' } });
  t.false('command' in (await loadExperiment(write(sound))).bound.training);
});

test('a training command that cannot be is refused at its place, with a remedy', async (t) => {
  for (const [line, says] of [
    ['engine: command', /training\.run: .*is missing; `engine: command` needs the program/],
    ['run: [x]', /training\.run: .*goes with `engine: command`/],
    ['engine: command, run: [/nowhere/trainer]', /training\.run: .*gives no version.*say its `version`/],
    [`engine: command, run: [${program}, "{rows}"]`, /training\.run: .*has \{rows\}, which stands for nothing; there are \{config\}/],
    [`engine: command, run: [${program}], config: nowhere.yaml`, /training\.config: .*nowhere\.yaml cannot be read \(ENOENT\)/],
  ] as const)
    t.regex(await fault(t, training(line)), says);
});

test('trainings run on the pool that serves, unless they have one of their own', async (t) => {
  const pools = async (text: string) => (await loadExperiment(write(`${sound}${text}`))).bound.training.pool;
  t.is(await pools(''), 'cpu');
  t.is(await pools('serving: { pool: gpu }\n'), 'gpu');
  t.is(await pools('serving: { pool: gpu }\ntraining: { pool: big }\n'), 'big');
});
