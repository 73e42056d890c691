import test, { type ExecutionContext } from 'ava';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Slots } from '../../devices/slots.ts';
import { train, type TrainOptions } from '../../devices/trainer.ts';
import { place, spec, training } from '../support/devices.ts';

const program = join(import.meta.dirname, '../support/command-trainer.mjs');
const command = { run: [process.execPath, program, 'train', '{config}'], config: null, version: '1' };

/** A training by the stand-in command, of one row and with these files in its run folder. */
async function run(t: ExecutionContext, files: Readonly<Record<string, string>> = {}, more: Partial<TrainOptions> = {}) {
  const p = place(t);
  const from = join(p.home, 'base');
  mkdirSync(from);
  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors']) writeFileSync(join(from, name), `base ${name}`);
  for (const [name, text] of Object.entries({ 'rows.jsonl': 'one row', ...files })) writeFileSync(join(p.folder, name), text);
  const slots = new Slots({ home: p.home, pool: 'cpu', groups: [[]], reapAfter: 600_000 });
  const attempt = async (number: number) => {
    await using slot = await slots.acquire(AbortSignal.timeout(600_000));
    const options = { ...training(p), slot, attempt: number, spec: spec(p.folder, { from, steps: 4 }), command, ...more };
    return await train({ ...options, signal: AbortSignal.timeout(600_000) });
  };
  return { p, attempt, started: () => readFileSync(join(p.folder, 'events.jsonl'), 'utf8').split('"start"').length - 1 };
}

test('a command gets rows, model and settings, and its output is the model: without its checkpoints, with the tokenizer', async (t) => {
  const { p, attempt } = await run(t);
  const { result, steps, lastLearningRate, tokens } = await attempt(1);
  t.is(result, join(p.folder, 'model'));
  t.deepEqual(readdirSync(result).sort(), ['config.json', 'model.safetensors', 'tokenizer.json']);
  t.is(readFileSync(join(result, 'model.safetensors'), 'utf8'), 'learnt of one row');
  t.is(readFileSync(join(result, 'config.json'), 'utf8'), 'base config.json');
  t.deepEqual([steps.map(({ loss }) => loss), lastLearningRate, tokens], [[1, 1 / 2, 1 / 3, 1 / 4], 0.1, 20]);
});

test('a command that is killed is started again, and one that exits with 75 by the next attempt; both go on where they were', async (t) => {
  const killed = await run(t, { die: '' });
  t.is((await killed.attempt(1)).tokens, 20);
  t.is(killed.started(), 2);
  const busy = await run(t, { busy: '' });
  await t.throwsAsync(busy.attempt(1), { name: 'Preempted' });
  t.is(busy.started(), 1);
  t.is((await busy.attempt(2)).tokens, 20);
  t.is(busy.started(), 2);
});

test('a command that fails is a crash loop with the end of its log, whatever its exit code means for the trainer', async (t) => {
  const { attempt } = await run(t, {}, { command: { ...command, run: ['/bin/sh', '-c', 'echo no such option; exit 64'] } });
  await t.throwsAsync(attempt(1), { name: 'CrashLoop', message: /with exit code 64[^]*no such option/ });
});

test('a command that leaves no model is told what to leave, and where', async (t) => {
  const { p, attempt } = await run(t, { empty: '' });
  await t.throwsAsync(attempt(1), {
    name: 'ConfigError',
    message: new RegExp(`${p.folder}/output holds no model: it must leave config.json`),
  });
  t.false(existsSync(join(p.folder, 'model')));
});

test("a command's own configuration file is filled with what stands for the training, and nothing else in it changes", async (t) => {
  const config = { path: '/home/me/sft.yaml', text: 'data: {data}\nout: {output}\nsteps: {steps}\ndeepspeed: {stage}\n' };
  const script = 'cd "$1" && cp "$0" seen && echo {learningRate} >> seen; exit 75';
  const { p, attempt } = await run(t, {}, { command: { ...command, config, run: ['/bin/sh', '-c', script, '{config}', '{run}'] } });
  await t.throwsAsync(attempt(1), { name: 'Preempted' });
  const { folder } = p;
  t.is(
    readFileSync(join(folder, 'seen'), 'utf8'),
    `data: ${folder}/rows.jsonl\nout: ${folder}/output\nsteps: 4\ndeepspeed: {stage}\n0.001\n`,
  );
  t.true(existsSync(join(folder, 'config.yaml')));
});
