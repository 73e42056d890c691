import test from 'ava';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sweep } from '../../devices/processes.ts';
import { Slots } from '../../devices/slots.ts';
import { train, type TrainOptions } from '../../devices/trainer.ts';
import type { TrainEvent } from '../../schemas/trainer.ts';
import { owner, place, spec, training, until, type Place } from '../support/devices.ts';

const never = new AbortController().signal;
async function run(p: Place, more: Partial<TrainOptions> = {}) {
  await using slot = await new Slots({ home: p.home, pool: 'cpu', groups: [[]], reapAfter: 600_000 }).acquire(never);
  return await train({ ...training(p), slot, signal: never, ...more });
}
const tell = (p: Place, name: string, text = '') => writeFileSync(join(p.folder, name), text);
const stepsOf = (events: readonly TrainEvent[]) => events.flatMap((event) => (event.event === 'step' ? [event.step] : []));

test('a training gives its model and its sums, and every event is told', async (t) => {
  const p = place(t);
  const events: TrainEvent[] = [];
  const trained = await run(p, { onEvent: (event) => events.push(event) });
  t.like(trained, {
    result: join(p.folder, 'model'),
    loss: 1,
    lastLearningRate: 1 / 6,
    truncated: 0,
    accumulation: 1,
    tokens: 60,
    seconds: 3,
  });
  t.deepEqual(stepsOf(events), [1, 2, 3, 4, 5, 6]);
  t.deepEqual([events[0]!.event, events.at(-1)!.event], ['start', 'done']);
  t.is(p.record(), undefined);
});

test('a step has the loss of the held-out rows that was measured after it', async (t) => {
  const p = place(t);
  const { steps } = await run(p, { spec: spec(p.folder, { evaluate: { every: 3, patience: null } }) });
  t.deepEqual(
    steps.map(({ validationLoss }) => validationLoss),
    [undefined, undefined, 1, undefined, undefined, 0.5],
  );
});

test('a killed trainer goes on from its checkpoint, and a step counts once', async (t) => {
  const p = place(t);
  tell(p, 'die-4');
  const events: TrainEvent[] = [];
  const trained = await run(p, { onEvent: (event) => events.push(event) });
  t.deepEqual(stepsOf(events), [1, 2, 3, 3, 4, 5, 6]);
  t.like(trained, { tokens: 60, seconds: 3 });
});

test('a training that is done is not run again', async (t) => {
  const p = place(t);
  const first = await run(p);
  t.deepEqual(await run(p, { attempt: 2 }), first);
  t.is(p.starts().length, 1);
});

test('an abort stops it within a step, with a checkpoint; the next attempt goes on there', async (t) => {
  const p = place(t);
  const events: TrainEvent[] = [];
  const abort = new AbortController();
  tell(p, 'hold-4');
  const running = run(p, { signal: abort.signal, onEvent: (event) => events.push(event) });
  await until(() => stepsOf(events).includes(3));
  abort.abort(new Error('cancelled'));
  await t.throwsAsync(running, { message: 'cancelled' });
  t.is(p.record(), undefined);
  rmSync(join(p.folder, 'hold-4'));
  const after: TrainEvent[] = [];
  await run(p, { attempt: 2, onEvent: (event) => after.push(event) });
  t.deepEqual(stepsOf(after), [1, 2, 3, 4, 5, 6]); // step 3 was in the checkpoint that the stop wrote
});

test('a trainer that does not stop when asked is killed after the grace', async (t) => {
  const p = place(t);
  tell(p, 'deaf');
  writeFileSync(join(p.folder, 'hold-1'), '');
  const abort = new AbortController();
  const running = run(p, { signal: abort.signal, grace: 0 });
  const { marker } = await until(p.started);
  abort.abort(new Error('cancelled'));
  await t.throwsAsync(running, { message: 'cancelled' });
  t.deepEqual(sweep(marker), []);
});

test('exit codes come out as errors with the last words of the log, and are not tried again', async (t) => {
  const named = {
    64: 'ConfigError',
    65: 'SchemaError',
    66: 'ConfigError',
    69: 'ConfigError',
    73: 'DiskFull',
    75: 'Preempted',
    76: 'TrainingDiverged',
  };
  for (const [code, name] of Object.entries(named)) {
    const p = place(t);
    tell(p, 'fail', `${code} It cannot be done.`);
    await t.throwsAsync(run(p), { name, message: 'It cannot be done.' });
    t.is(p.starts().length, 1);
  }
});

test('out of memory halves the micro-batch until it fits, each time from the checkpoint, and is no crash', async (t) => {
  const p = place(t);
  tell(p, 'memory', '1');
  const events: TrainEvent[] = [];
  const remembered: number[] = [];
  const trained = await run(p, {
    spec: spec(p.folder, { batch: 16 }),
    onEvent: (event) => events.push(event),
    onMicroBatch: async (rows) => void remembered.push(rows),
  });
  t.deepEqual(remembered, [8, 4, 2, 1]);
  t.deepEqual(
    events.flatMap((event) => (event.event === 'start' ? [[event.microBatch, event.resumedFrom]] : [])),
    [[16, null], ...[8, 4, 2, 1].map((rows) => [rows, 2])],
  );
  t.like(trained, { accumulation: 16, tokens: 60 });
});

test('a training of which not one row fits into memory fails, with the words of the trainer', async (t) => {
  const p = place(t);
  tell(p, 'memory', '0');
  await t.throwsAsync(run(p), { name: 'OutOfMemory', message: 'Out of memory: 20 GiB are missing.' });
  t.is(p.starts().length, 3); // with 4 rows, 2 and 1
});

test('a trainer that makes no step is stopped and started again from its checkpoint, which counts as a crash', async (t) => {
  const p = place(t);
  tell(p, 'hold-4');
  tell(p, 'pace', '0.01');
  const from: unknown[] = [];
  const running = run(p, { hangsAfter: 3000, onEvent: (event) => event.event === 'start' && from.push(event.resumedFrom) });
  await t.throwsAsync(running, { name: 'CrashLoop', message: /because it made no step/ });
  t.deepEqual(from, [null, 2, 2]);
});

test('the longer its steps are, the longer a trainer may be silent', async (t) => {
  const p = place(t);
  tell(p, 'hold-4');
  const events: TrainEvent[] = [];
  const abort = new AbortController();
  const running = run(p, { hangsAfter: 3000, signal: abort.signal, onEvent: (event) => events.push(event) }); // of half a second: 10 s
  await until(() => stepsOf(events).includes(3));
  await delay(4000);
  t.is(p.starts().length, 1);
  abort.abort(new Error('cancelled'));
  await t.throwsAsync(running, { message: 'cancelled' });
});

test('the third crash is a crash loop', async (t) => {
  const p = place(t);
  tell(p, 'fail', '70 a traceback');
  await t.throwsAsync(run(p), { name: 'CrashLoop', message: /with exit code 70[^]*a traceback/ });
  t.is(p.starts().length, 3);
});

test('a trainer outlives its killed worker; the next one follows it from its first event to the end', async (t) => {
  const p = place(t);
  tell(p, 'hold-4');
  const dying = owner(t, p, 'train', training(p));
  await until(p.started);
  const died = new Promise((done) => dying.once('exit', done));
  dying.kill('SIGKILL');
  await died;
  const events: TrainEvent[] = [];
  const running = run(p, { attempt: 2, onEvent: (event) => events.push(event) });
  await until(() => stepsOf(events).includes(3));
  rmSync(join(p.folder, 'hold-4'));
  t.like(await running, { tokens: 60 });
  t.deepEqual(stepsOf(events), [1, 2, 3, 4, 5, 6]);
  t.is(p.starts().length, 1);
});

test('a trainer that ended while nobody watched is not run again', async (t) => {
  const p = place(t);
  tell(p, 'hold-6');
  const dying = owner(t, p, 'train', training(p));
  const { marker } = await until(p.started);
  const died = new Promise((done) => dying.once('exit', done));
  dying.kill('SIGKILL');
  await died;
  rmSync(join(p.folder, 'hold-6'));
  await until(() => sweep(marker).length === 0);
  t.like(await run(p, { attempt: 2 }), { tokens: 60 });
  t.is(p.starts().length, 1);
});
