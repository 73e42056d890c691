/** `backspin track`, with the real trackers. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import anyTest from 'ava';
import type { Step } from '../../schemas/experiment.ts';
import type { Measured } from '../../schemas/trainer.ts';
import { putCurve } from '../../steps/curve.ts';
import { openStore } from '../../store/local.ts';
import type { Store } from '../../store/store.ts';
import { trackersPython } from '../support/trackers.ts';
import { backspin, command, temporary, until } from './cli.ts';
import { dataset, giveAgain, home, key, step } from './completed.ts';

const test = trackersPython === undefined ? anyTest.skip : anyTest;

const measure = (at: number): Measured => ({ v: 1, event: 'step', step: at, loss: 2 ** -at, learningRate: 0.5, tokens: 8, seconds: 10 });
const measures = [measure(1), { ...measure(2), rewardsChosen: 0.25, validationLoss: 0.75 }];
const training = (state: Step['state']): Step => ({
  path: 'r1/forward',
  arm: null,
  round: 1,
  name: 'forward',
  kind: 'train',
  operation: 'train',
  state,
  stepKey: key('r1/forward'),
  cached: false,
  result: null,
});
async function finish(store: Store): Promise<void> {
  await step(store, 'r1/forward', await dataset(store, [{ text: 'one' }]));
  await giveAgain(store, 'r1/forward', { verb: 'train', made: new Date().toISOString(), ...(await putCurve(store, measures)) });
}
const report = (round: number, exact: number): Step => ({
  ...training('completed'),
  path: `r${round}/suite`,
  round,
  name: 'suite',
  kind: 'evaluate',
  operation: 'toy.suite',
  stepKey: null,
  result: { kind: 'report', digest: key(`report ${round}`), metrics: { exact }, oracle: false },
});
/** A home with an experiment `toy` whose one training has ended, or has begun. */
async function trained(ended: boolean) {
  const steps = [training(ended ? 'completed' : 'running'), report(1, 0.5), report(2, 0.75)];
  const folder = await home({ steps, state: ended ? 'completed' : 'running' });
  const store = await openStore(join(folder, 'store'));
  if (ended) await finish(store);
  return { folder, store };
}

/** Prints all numbers that a tracker has, as `[run, step, metric, value]`. */
const READ = {
  tensorboard: `
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
runs = EventMultiplexer().AddRunsFromDirectory("runs")
runs.Reload()
for run, has in runs.Runs().items():
    for tag in has["scalars"]: give(*((run, event.step, tag, event.value) for event in runs.Scalars(run, tag)))`,
  trackio: `
from trackio.sqlite_storage import SQLiteStorage
for run in SQLiteStorage.get_runs("lab"):
    for row in SQLiteStorage.get_logs("lab", run):
        give(*((run, row["step"], name, value) for name, value in row.items() if name not in ("step", "timestamp")))`,
  wandb: `
import pathlib, struct
from wandb.proto.wandb_internal_pb2 import Record
for path in pathlib.Path("runs").glob("wandb/offline-run-*/*.wandb"):
    data, at, run = path.read_bytes(), 7, None
    while at < len(data):  # a log of LevelDB: checksum, length and type of each record
        length = struct.unpack_from("<H", data, at + 4)[0]
        record = Record.FromString(data[at + 7 : at + 7 + length])
        at += 7 + length
        run = record.run.display_name or run
        for item in record.history.item:
            name = item.key or "/".join(item.nested_key)
            if not name.startswith("_"): give((run, record.history.step.num, name, json.loads(item.value_json)))`,
  mlflow: `
import mlflow
client = mlflow.MlflowClient()
for run in client.search_runs([client.get_experiment_by_name("lab").experiment_id]):
    for name in run.data.metrics:
        give(*((run.info.run_name, one.step, name, one.value) for one in client.get_metric_history(run.info.run_id, name)))`,
} as const;
type Tracker = keyof typeof READ;

const settings = (folder: string) => ({
  TRACKIO_DIR: join(folder, 'trackio'),
  WANDB_MODE: 'offline',
  MLFLOW_TRACKING_URI: join(folder, 'mlruns'),
  MLFLOW_ALLOW_FILE_STORE: 'true',
});
async function numbersIn(folder: string, tracker: Tracker): Promise<unknown[]> {
  const script = `import json\nfound = []\ngive = lambda *all: found.extend(all)${READ[tracker]}\nprint(json.dumps(sorted(found)))`;
  const { stdout } = await promisify(execFile)(trackersPython!, ['-c', script], {
    cwd: folder,
    env: { ...process.env, ...settings(folder) },
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as unknown[];
}
const words = (tracker: Tracker) => ['track', 'toy', '--to', tracker, '--project', 'lab', '--python', trackersPython!];
const track = (folder: string, tracker: Tracker) => backspin(folder, words(tracker), settings(folder));

const steps = [
  ['toy/r1/forward', 1, 'train/learning_rate', 0.5],
  ['toy/r1/forward', 1, 'train/loss', 0.5],
  ['toy/r1/forward', 1, 'train/tokens', 8],
  ['toy/r1/forward', 2, 'eval/loss', 0.75],
  ['toy/r1/forward', 2, 'train/learning_rate', 0.5],
  ['toy/r1/forward', 2, 'train/loss', 0.25],
  ['toy/r1/forward', 2, 'train/rewards/chosen', 0.25],
  ['toy/r1/forward', 2, 'train/tokens', 8],
];
const rounds = [
  ['toy', 1, 'exact', 0.5],
  ['toy', 2, 'exact', 0.75],
];

for (const tracker of ['tensorboard', 'trackio', 'wandb', 'mlflow'] as const)
  test(`${tracker} gets each step of a training and each round once, however often it is tracked`, async (t) => {
    const { folder } = await trained(true);
    const first = await track(folder, tracker);
    t.is(first.code, 0, first.stderr);
    t.regex(first.stdout, /^10 new numbers of toy in /);
    t.deepEqual(await numbersIn(folder, tracker), [...rounds, ...steps]);
    const second = await track(folder, tracker);
    t.is(second.code, 0, second.stderr);
    t.deepEqual(await numbersIn(folder, tracker), [...rounds, ...steps]);
  });

test('what a killed writer left incomplete in an event file is written again', async (t) => {
  const { folder } = await trained(true);
  await track(folder, 'tensorboard');
  const [file] = globSync(join(folder, 'runs/toy/r1/forward/*'));
  truncateSync(file!, readFileSync(file!).length - 7);
  t.regex((await track(folder, 'tensorboard')).stdout, /^5 new numbers, besides 5 that were there, of toy/);
  t.deepEqual(await numbersIn(folder, 'tensorboard'), [...rounds, ...steps]);
});

test('a running training is followed: a step comes with its validation loss once the next one is there, and what a resume repeats comes once', async (t) => {
  const { folder, store } = await trained(false);
  const events = join(store.work(key('r1/forward')), 'run', 'events.jsonl');
  mkdirSync(dirname(events), { recursive: true });
  const emit = (...of: object[]) => appendFileSync(events, of.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const env = { ...process.env, ...settings(folder), BACKSPIN_HOME: folder };
  const child = spawn(process.execPath, [command, ...words('tensorboard'), '--follow'], { cwd: folder, env, stdio: 'inherit' });
  const ended = once(child, 'close');
  try {
    const has = (what: string) => () => globSync(join(folder, 'runs/toy/r1/forward/*')).some((file) => readFileSync(file).includes(what));
    emit(measure(1));
    await until(() => existsSync(join(folder, 'runs/toy')), 'the rounds are written');
    const { validationLoss, ...second } = measures[1]!;
    emit(second, { v: 1, event: 'evaluation', step: 2, loss: validationLoss, rows: 3, seconds: 1 });
    await until(has('train/loss'), 'the first step is written');
    t.false(has('eval/loss')());
    emit({ v: 1, event: 'start', pid: 1, resumedFrom: 0, steps: 3 }, measure(1), second, measure(3));
    await until(has('eval/loss'), 'the second step is written');
    await finish(store);
    await store.putExperiment({ ...(await store.experiment('toy'))!, state: 'completed' });
    t.deepEqual(await ended, [0, null]);
    t.deepEqual(await numbersIn(folder, 'tensorboard'), [...rounds, ...steps]);
  } finally {
    child.kill('SIGKILL');
  }
});

anyTest('a Python without the tracker, and one that is not there, are refused with what to do', async (t) => {
  const { folder } = await trained(true);
  const none = await backspin(folder, ['track', 'toy', '--to', 'mlflow', '--python', '/no/python']);
  t.is(none.code, 1);
  t.regex(none.stderr, /^mlflow did not take .*ENOENT.*: mend that, then track again/);
  const bare = temporary();
  await promisify(execFile)('python3', ['-m', 'venv', '--without-pip', bare]);
  const without = await backspin(folder, ['track', 'toy', '--to', 'trackio', '--python', join(bare, 'bin/python')]);
  t.is(without.code, 1);
  t.regex(
    without.stderr,
    /has no trackio \(.*\): make an environment with it, `python3 -m venv FOLDER && FOLDER\/bin\/pip install trackio`/,
  );
});
