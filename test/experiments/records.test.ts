/** What becomes of an experiment's record when its workflow ends without a word, was never started, or its name is launched again: a real
 *  Temporal server, and no worker. */
import test from 'ava';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { defineSearchAttributeKey } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import { readSetup } from '../../host/setup.ts';
import { self } from '../../devices/processes.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import { queues, searchAttributes, workflowId } from '../../schemas/names.ts';
import { openStore } from '../../store/local.ts';
import type { Store } from '../../store/store.ts';
import { sourcesDigest } from '../../host/build.ts';
import { backspin, file, root, temporary } from '../cli/cli.ts';

const server = (attributes: boolean) =>
  TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: readSetup().temporal },
      ...(attributes
        ? { searchAttributes: Object.entries(searchAttributes).map(([name, type]) => defineSearchAttributeKey(name, type)) }
        : {}),
    },
  });
let env: TestWorkflowEnvironment;
test.before(async () => {
  env = await server(true);
});
test.after.always(() => env?.teardown());

const world = join(root, 'examples/textworld');
const yaml = (rounds: number) => `recipe: humpback
modules: [${world}/module.ts]
data:
  seed: { source: textworld.seed, params: { seed: 0 } }
  corpus: { source: textworld.corpus, params: { seed: 0 } }
models: { base: { path: ${world}/base/rated } }
parameters: { rounds: ${rounds}, keep: { threshold: 5 }, sft: { maxTokens: 256 } }
`;

interface Home {
  readonly folder: string;
  readonly store: Store;
  readonly id: string;
  readonly run: (...args: string[]) => ReturnType<typeof backspin>;
  readonly launch: (rounds: number) => ReturnType<typeof backspin>;
  readonly change: (change: Partial<ExperimentRecord>) => Promise<void>;
}
/** A home in which something seems to be up: the server, of which this process has the care. */
async function home({ address, namespace }: Pick<TestWorkflowEnvironment, 'address' | 'namespace'> = env): Promise<Home> {
  const folder = temporary();
  mkdirSync(folder, { recursive: true });
  const build = await sourcesDigest();
  const up = { ...self, ready: true, build, address, namespace: namespace ?? 'default', uiAddress: null, pools: {}, devices: [] };
  writeFileSync(join(folder, 'up.json'), JSON.stringify(up));
  const store = await openStore(join(folder, 'store'));
  const run = (...args: string[]) => backspin(folder, args);
  return {
    folder,
    store,
    id: workflowId.experiment(store.id, 'toy'),
    run,
    launch: (rounds) => run('launch', file(folder, 'toy.yaml', yaml(rounds))),
    change: async (change) => store.putExperiment({ ...(await store.experiment('toy'))!, ...change }),
  };
}
const stateOf = async ({ store }: Home) => (await store.experiment('toy'))?.state;

test('a name that was cancelled, or has failed, is free for a mended file: the difference is said, the old record is kept', async (t) => {
  const on = await home();
  t.is((await on.launch(2)).code, 0);
  await env.client.workflow.getHandle(on.id).terminate();
  await on.change({ state: 'cancelled' });
  const again = await on.launch(3);
  t.is(again.code, 0, again.stderr);
  t.regex(again.stdout, /toy was cancelled, and starts anew/);
  t.regex(again.stdout, /^ {2}parameters\.rounds: 2 -> 3$/m);
  t.regex(again.stdout, /The record of before is kept as toy~1\.\ntoy is launched\./);
  t.is(await stateOf(on), 'running');
  t.is((await on.store.experiment('toy~1'))?.state, 'cancelled');
  const { stdout } = await on.run('list');
  t.regex(stdout, /^toy~1 +humpback +cancelled/m);
  t.regex((await on.run('cancel', 'toy~1')).stderr, /The experiment toy~1 is not running/);
  t.is((await env.client.workflow.getHandle(on.id).describe()).status.name, 'RUNNING');
});

test('a name whose experiment runs is refused for another file, with the ways there are; one that is completed too', async (t) => {
  const on = await home();
  await on.launch(2);
  const running = await on.launch(3);
  t.is(running.code, 1);
  t.regex(running.stderr, /parameters\.rounds: 2 -> 3\nEnd it first \(`backspin cancel toy`\), give .* `backspin retry-step toy --set/);
  t.is((await on.launch(2)).code, 0);
  await on.change({ state: 'completed' });
  t.is((await on.launch(3)).code, 1);
  t.deepEqual(await on.store.experimentNames(), ['toy']);
});

test('a start that fails leaves no record behind, and the one before as it was', async (t) => {
  const bare = await server(false);
  try {
    const on = await home(bare);
    const { code, stderr } = await on.launch(2);
    t.is(code, 1);
    t.regex(stderr, /lacks backspin's search attributes/);
    t.deepEqual(await on.store.experimentNames(), []);
    const other = await home();
    await other.launch(2);
    const before = (await other.store.experiment('toy'))!;
    await on.store.putExperiment({ ...before, workflowId: on.id, state: 'cancelled' });
    t.is((await on.launch(3)).code, 1);
    t.like(await on.store.experiment('toy'), { state: 'cancelled', configDigest: before.configDigest });
    t.deepEqual(await on.store.experimentNames(), ['toy']);
  } finally {
    await bare.teardown();
  }
});

test('a record whose workflow was terminated: status and list know it, and gc closes it and is no longer kept from its work', async (t) => {
  const on = await home();
  await on.launch(2);
  await env.client.workflow.getHandle(on.id).terminate();
  t.regex((await on.run('status', 'toy')).stdout, /toy \(humpback\): failed[^]*It failed: the workflow was terminated/);
  t.regex((await on.run('list')).stdout, /^toy +humpback +failed/m);
  const { stdout } = await on.run('gc');
  t.regex(stdout, /^toy had ended \(the workflow was terminated\), and its record is closed now\./m);
  t.notRegex(stdout, /not ended/);
  t.like(await on.store.experiment('toy'), { state: 'failed', failure: 'the workflow was terminated' });
});

test('a record whose workflow is unknown to the server: gc keeps what it needs and says the way on, and cancel closes it', async (t) => {
  const on = await home();
  await on.launch(2);
  const { address } = env;
  await on.change({ workflowId: `${on.id}-elsewhere` });
  const said = new RegExp(`the Temporal server at ${address} has no workflow of it .*\`backspin cancel toy\` closes it`);
  t.regex((await on.run('status', 'toy')).stdout, said);
  t.regex((await on.run('list')).stderr, said);
  const gc = await on.run('gc');
  t.regex(gc.stdout, /toy has not ended: until then only scratch is listed/);
  t.regex(gc.stdout, said);
  t.is(await stateOf(on), 'running');
  const cancel = await on.run('cancel', 'toy');
  t.is(cancel.code, 0, cancel.stderr);
  t.regex(cancel.stdout, /^toy is closed as cancelled: the Temporal server at .* has no workflow of it/);
  t.is(await stateOf(on), 'cancelled');
  t.notRegex((await on.run('gc')).stdout, /not ended/);
});

test('launched again, what runs without a record has one again, and is not started anew', async (t) => {
  const on = await home();
  await on.launch(2);
  const { configDigest } = (await on.store.experiment('toy'))!;
  const { runId } = await env.client.workflow.getHandle(on.id).describe();
  await on.store.removeExperiment('toy');
  const again = await on.launch(2);
  t.is(again.code, 0, again.stderr);
  t.like(await on.store.experiment('toy'), { state: 'running', configDigest });
  t.is((await env.client.workflow.getHandle(on.id).describe()).runId, runId);
});

test('list and status go on where the record of another experiment is damaged', async (t) => {
  const on = await home();
  await on.launch(2);
  writeFileSync(join(on.store.root, 'experiments', 'other.json'), '{"name": "oth');
  const list = await on.run('list');
  t.is(list.code, 1);
  t.regex(list.stdout, /^toy +humpback/m);
  t.regex(list.stderr, /other\.json/);
  t.is((await on.run('status', 'toy')).code, 0);
});

test('a record that a power failure left empty is written again by the next launch, and list names it until then', async (t) => {
  const on = await home();
  await on.launch(2);
  const path = join(on.store.root, 'experiments', 'toy.json');
  for (const left of ['', '\0'.repeat(4096), readFileSync(path, 'utf8').slice(0, 300)]) {
    writeFileSync(path, left);
    const list = await on.run('list');
    t.is(list.code, 1);
    t.regex(list.stderr, /experiments\/toy\.json does not read .*: launch the experiment again, and it is written anew/);
    t.regex((await on.launch(2)).stderr, /The record of toy was damaged, and is written anew\./);
    t.is(await stateOf(on), 'running');
    t.is((await on.run('list')).code, 0);
  }
});

test('a damaged record is written again as its workflow tells it, by whoever reads it', async (t) => {
  const on = await home();
  await on.launch(2);
  const worker = await Worker.create({
    connection: env.nativeConnection,
    namespace: env.namespace ?? 'default',
    taskQueue: queues.orchestrator(on.store.id),
    workflowsPath: join(import.meta.dirname, '../support/answering-workflow.ts'),
  });
  await worker.runUntil(async () => {
    for (const command of [['list'], ['status', 'toy'], ['gc']]) {
      writeFileSync(join(on.store.root, 'experiments', 'toy.json'), '');
      const { code, stderr } = await on.run(...command);
      t.is(code, 0, stderr);
      t.regex(stderr, /The record of toy was damaged, and is written again as its workflow tells it\./);
      t.deepEqual((await on.store.experiment('toy'))?.notices, ['This is what the workflow says.']);
    }
  });
});

test('when everything was killed, status and show know each step that has begun or ended, and say that nothing is up', async (t) => {
  const on = await home();
  await on.launch(2);
  const { configDigest } = (await on.store.experiment('toy'))!;
  const writer = on.store.write('pair');
  await writer.add({ id: '1'.repeat(64), from: [], value: { text: 'one' } });
  const result = await writer.commit('exact');
  const key = 'a'.repeat(64);
  await on.store.putOutput({ ...output, inputs: [], stepKey: key, result });
  const step = { arm: null, round: null, kind: 'map', operation: 'toy.ask', cached: false } as const;
  const steps: readonly Step[] = [
    { ...step, path: 'segments', name: 'segments', state: 'completed', stepKey: key, result },
    { ...step, path: 'backtranslate', name: 'backtranslate', state: 'running', stepKey: 'b'.repeat(64), result: null },
  ];
  for (const noted of steps) await on.store.noteStep({ experiment: 'toy', configDigest, step: noted });
  await on.store.noteStep({ experiment: 'toy', configDigest: 'c'.repeat(64), step: { ...steps[0]!, path: 'of-an-earlier-launch' } });
  writeFileSync(join(on.folder, 'up.json'), JSON.stringify({ ...self, pid: 1, start: 'another' }));

  const { code, stdout, stderr } = await on.run('status', 'toy');
  t.is(code, 0);
  t.regex(stdout, /✓ segments +1 kept/);
  t.regex(stdout, /… backtranslate +stopped/);
  t.notRegex(stdout, /earlier/);
  t.regex(stderr, /^Note: nothing is up in .*: these are the steps that the store has\. `backspin up` goes on with them\.$/m);
  t.regex((await on.run('show', 'toy', 'segments')).stdout, /text: one/);
  t.regex((await on.run('show', 'toy', 'segmnets')).stderr, /has no step "segmnets"; the nearest is "segments"/);
  await on.change({ state: 'cancelled' });
  t.deepEqual(
    (await on.store.experiment('toy'))!.steps.map(({ path }) => path),
    ['segments', 'backtranslate'],
  );
});

const output = {
  verb: 'map',
  operation: 'toy.ask',
  in: 1,
  kept: 1,
  dropped: {},
  droppedRecords: null,
  requests: 1,
  tokens: 1,
  seconds: 1,
  params: {},
  versions: {},
  sources: {},
  determinism: 'exact',
  made: new Date(0).toISOString(),
} as const;
