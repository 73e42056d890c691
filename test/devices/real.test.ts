/** The real Python package under the real supervision. */
import test from 'ava';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { alive, sweep } from '../../devices/processes.ts';
import { ModelServer } from '../../devices/server.ts';
import { Slots } from '../../devices/slots.ts';
import { train } from '../../devices/trainer.ts';
import { checkCapabilities } from '../../inference/capability.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import { ModelClient, Rejected } from '../../inference/client.ts';
import type { TrainEvent } from '../../schemas/trainer.ts';
import { engine, owner, place, realPython, serving, spec, training, trainerPath, until, type Place } from '../support/devices.ts';
import { wordsOf } from '../../host/proc.ts';
import { nvidia, uuid } from '../support/nvidia.ts';

const never = new AbortController().signal;
const folder = mkdtempSync(join(tmpdir(), 'backspin-model-'));
const slotOf = (p: Place) => new Slots({ home: p.home, pool: 'cpu', groups: [[]], reapAfter: 600_000 }).acquire(never);

function writeRows(p: Place): void {
  const rows = Array.from({ length: 16 }, (_, i) => ({
    messages: [
      { role: 'user', content: `Which ${i}?` },
      { role: 'assistant', content: 'The ship.' },
    ],
  }));
  writeFileSync(join(p.folder, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

test.before('a tiny model of random weights', async () => {
  const program = 'import pathlib, sys, world; world.make_model(pathlib.Path(sys.argv[1]))';
  await promisify(execFile)(realPython(), ['-c', program, folder], {
    env: { ...process.env, PYTHONPATH: `${trainerPath}/tests:${trainerPath}` },
  });
});

test.serial(
  'a killed model server comes back, and its replies are what they were; ratings asked together are those asked alone; its killed owner is survived',
  async (t) => {
    const p = place(t);
    const options = {
      ...serving(p),
      engine: engine('m', folder, realPython()),
      health: { every: 200, timeout: 30_000, misses: 5 },
    };
    const dying = owner(t, p, 'serve', options, realPython(), folder);
    await until(() => existsSync(join(p.folder, 'ready.json')));
    const before = p.record()!;
    const died = new Promise((done) => dying.once('exit', done));
    dying.kill('SIGKILL');
    await died;

    const server = await ModelServer.start({ ...options, slot: await slotOf(p), signal: never, attempt: 2 });
    t.is(p.record()!.pgid, before.pgid);
    const client = new ModelClient({ endpoint: (signal) => server.endpoint(signal), limiter: new FixedLimiter(4) });
    const sampling = { temperature: 1, topP: 0.9, topK: 40, repetitionPenalty: 1.1, stop: ['\n'] };
    await checkCapabilities(client, 'm', { capabilities: ['chat', 'complete', 'prefill', 'score'], samplings: [sampling] }, never);

    const ask = (seed: number) => ({ seed, requestId: `r${seed}`, signal: never });
    const replies = () =>
      Promise.all([
        ...[1, 2, 3].map((seed) =>
          client.chat('m', [{ role: 'user', content: 'Where is Ardo?' }], { temperature: 1, maxTokens: 12 }, ask(seed)),
        ),
        client.score('m', { text: 'The river of' }, [' Ardo'], ask(4)),
      ]);
    const first = await replies();
    const { pid } = JSON.parse(readFileSync(join(p.folder, 'ready.json'), 'utf8')) as { pid: number };
    await t.throwsAsync(client.complete('m', { tokens: [100_000] }, { temperature: 0, maxTokens: 4 }, ask(5)), {
      instanceOf: Rejected,
      message: /vocabulary/,
    });

    const ratings = [' 1', ' 2', ' 3', ' 4', ' 5'];
    const score = async (...continuations: string[]) => (await client.score('m', { text: 'Score:' }, continuations, ask(6))).reply;
    const together = await score(...ratings);
    for (const [at, rating] of ratings.entries())
      for (const [i, { id, logprob }] of (await score(rating))[0]!.entries()) {
        t.is(together[at]![i]!.id, id);
        t.true(Math.abs(together[at]![i]!.logprob - logprob) < 1e-4, `${rating}: ${together[at]![i]!.logprob} and ${logprob}`);
      }

    process.kill(pid, 'SIGKILL');
    t.deepEqual(await replies(), first);
    t.false(alive(before.pgid!, before.pgStart!));
    const { marker } = p.record()!;
    await server.stop();
    t.deepEqual([...sweep(before.marker), ...sweep(marker)], []);
  },
);

test.serial('a folder that is no model is a sentence, not a crash', async (t) => {
  const p = place(t);
  const slot = await slotOf(p);
  await t.throwsAsync(ModelServer.start({ ...serving(p), slot, signal: never, engine: engine('m', p.folder, realPython()) }), {
    name: 'ConfigError',
    message: new RegExp(p.folder),
  });
});

test.serial('a file in the folder of a worker is not taken for a Python module', async (t) => {
  const p = place(t);
  writeFileSync(join(p.home, 'random.py'), 'raise SystemExit(9)');
  const before = process.cwd();
  process.chdir(p.home);
  try {
    const options = { ...serving(p), engine: engine('m', folder, realPython()), slot: await slotOf(p), signal: never };
    await (await ModelServer.start(options)).stop();
    t.pass();
  } finally {
    process.chdir(before);
  }
});

test.serial('a trainer killed between checkpoints is followed to its end', async (t) => {
  const p = place(t);
  writeRows(p);
  const starts: Extract<TrainEvent, { event: 'start' }>[] = [];
  let killed = false; // once: the next event may have been written before, and be read when nobody has the number any more
  const onEvent = (event: TrainEvent) => {
    if (event.event === 'start') starts.push(event);
    if (killed || event.event !== 'step' || event.step < 13) return;
    killed = process.kill(starts[0]!.pid, 'SIGKILL');
  };
  const slot = await slotOf(p);
  const trained = await train({
    ...training(p),
    spec: spec(p.folder, { from: folder, steps: 150, checkpointEvery: 10 }),
    python: realPython(),
    slot,
    signal: never,
    onEvent,
  });
  t.is(starts.length, 2);
  t.true(starts[1]!.resumedFrom! >= 10);
  t.true(existsSync(join(trained.result, 'model.safetensors')));
  t.true(trained.loss! > 0);
  t.is(new Set(readFileSync(join(p.folder, 'events.jsonl'), 'utf8').match(/"event":"step","step":\d+/g)).size, 150);
});

/** The trainer refuses CUDA devices that PyTorch does not find. Here it is not told of them, and its processes compute on the CPU. */
function pythonWithoutDevices(folder: string): string {
  const path = join(folder, 'python');
  writeFileSync(path, `#!/bin/sh\nunset CUDA_VISIBLE_DEVICES\nexec '${realPython()}' "$@"\n`, { mode: 0o755 });
  return path;
}

test.serial('a group of two devices trains in two processes: stopped, killed by their launcher, and followed to their end', async (t) => {
  const p = place(t);
  writeRows(p);
  const stand = nvidia(0, 0);
  process.env['PATH'] = `${stand.folder}:${process.env['PATH']}`;
  const slot = await new Slots({ home: p.home, pool: 'cpu', groups: [[uuid(0), uuid(1)]], reapAfter: 600_000 }).acquire(never);
  const job = {
    ...training(p),
    spec: spec(p.folder, { from: folder, steps: 60, checkpointEvery: 10 }),
    python: pythonWithoutDevices(p.home),
    slot,
  };

  const stop = new AbortController();
  const onStop = (event: TrainEvent) => event.event === 'step' && event.step >= 13 && stop.abort(new Error('enough'));
  await t.throwsAsync(train({ ...job, signal: stop.signal, onEvent: onStop }), { message: 'enough' });
  t.is(p.record(), undefined);

  const seen: TrainEvent[] = [];
  const markers = new Set<string>();
  let hit = false;
  const onKill = (event: TrainEvent) => {
    seen.push(event);
    const marker = p.record()?.marker;
    if (marker === undefined) return;
    markers.add(marker);
    if (hit || event.event !== 'step' || event.step < 33) return;
    const launcher = sweep(marker).find((pid) => wordsOf(pid)[2] === 'accelerate.commands.launch');
    hit = launcher !== undefined && process.kill(launcher, 'SIGKILL');
  };
  const trained = await train({ ...job, signal: never, onEvent: onKill });
  const resumed = seen.flatMap((event) => (event.event === 'start' ? [event.resumedFrom ?? 0] : []));
  t.is(resumed.length, 3);
  t.true(resumed[1]! >= 13 && resumed[2]! >= 30, `${resumed.join(', ')}`);
  t.true(existsSync(join(trained.result, 'model.safetensors')));
  t.is(new Set(seen.flatMap((event) => (event.event === 'step' ? [event.step] : []))).size, 60);
  t.deepEqual([...markers].flatMap(sweep), []);

  const odd = { ...training(p), key: 'odd', spec: spec(join(p.home, 'odd'), { from: folder, data: job.spec.data, batch: 3 }) };
  mkdirSync(odd.spec.run);
  await t.throwsAsync(train({ ...odd, python: job.python, slot, signal: never }), {
    name: 'ConfigError',
    message: "Spec key 'batch' is 3, which 2 devices cannot share; make it a multiple.",
  });
});
