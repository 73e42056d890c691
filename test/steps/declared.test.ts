/** What a step's key does not hold, its operator does not get. */
import test from 'ava';
import { stepsOf } from '../../steps/work.ts';
import { checkSources } from '../../steps/changed.ts';
import { call, dataset, registryOf, resolved } from '../support/keys.ts';
import { bench } from '../support/memory.ts';
import { experiment, newStore, put, record } from '../support/store.ts';
import { moduleDigest } from '../../steps/registry.ts';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StepCall, DatasetRef } from '../../schemas/call.ts';

const operators = `
  const value = z.object({ n: z.number() });
  const op = (spec) => b.operator({ version: 1, input: value, output: value, ...spec });
  export const wording = b.prompt({ version: 1, render: () => ({ text: 'say' }) });
  const drawing = (n, { random }) => b.keep({ n: random('lot')() });
  export const secretly = op({ run: drawing });
  export const openly = op({ run: drawing, stochastic: () => true });
  export const warm = op({ roles: ['one'], capabilities: ['chat'], params: z.object({ sampling: z.object({ temperature: z.number() }) }), run: drawing });
  export const asking = op({ roles: ['one'], capabilities: ['chat'], params: z.object({ sampling: z.object({ temperature: z.number() }), other: z.number() }),
    run: async (n, { chat }, { other }) => (await chat('one', [], { temperature: other, maxTokens: 1 }), b.keep(n)) });
  export const fixed = op({ run: (n, { prompt }) => (prompt('mine.wording', {}), b.keep(n)) });
  export const named = op({ params: z.object({ judge: z.string() }), run: (n, { prompt }, { judge }) => (prompt(judge, {}), b.keep(n)) });
  export const half = op({ run: (n) => b.keep(n) });
  export const odd = op({ run: ({ n }) => (n % 2 ? b.keep({ n }) : b.drop('even')) });
  export const dated = b.source({ version: 1, output: z.object({ at: z.coerce.date() }), rows: () => [{ at: '2026-01-01' }, { at: '2026-01-02' }] });
  export const lots = b.reducer({ version: 1, params: z.object({ draws: z.boolean() }), stochastic: ({ draws }) => draws,
    async *run({ of }, _, { random }) { random('lot'); for await (const record of of) yield { record }; } });`;

const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
const path = join(folder, 'mine.ts');
await writeFile(path, `import * as b from 'backspin'; import { z } from 'zod'; export const namespace = 'mine';\n${operators}`);
const made = await bench({ reply: () => 'yes' }, { modules: [{ path, digest: await moduleDigest(path) }] });
const { store } = made.services;
const over = await put(
  store,
  Array.from({ length: 10 }, (_, n) => record({ n })),
);
await writeFile(join(folder, 'config.json'), '{}');
const about = {
  state: 'weights',
  base: null,
  from: null,
  dataset: null,
  template: null,
  settings: null,
  steps: null,
  lastLearningRate: null,
} as const;
const one = await store.putModel(folder, { ...about, determinism: 'exact' });
const map = (what: string, params: object = {}, more: object = {}) =>
  made.perform(call('map', what, { over, with: { one }, params, ...more }));
const refused = (message: RegExp) => ({ name: 'ConfigError', message });

test('`random` throws in an operator or reducer that does not say that it draws, at any temperature', async (t) => {
  await t.throwsAsync(map('mine.secretly'), refused(/mine\.secretly uses `random` and does not say so: add `stochastic/));
  for (const temperature of [0, 1])
    await t.throwsAsync(map('mine.warm', { sampling: { temperature } }), refused(/mine\.warm uses `random`/));
  await t.notThrowsAsync(map('mine.openly'));
  const reduce = (draws: boolean) => made.perform(call('reduce', 'mine.lots', { inputs: { of: over }, params: { draws } }));
  await t.throwsAsync(reduce(false), refused(/mine\.lots uses `random`/));
  await t.notThrowsAsync(reduce(true));
});

test('a source whose schema makes dates of texts is refused with where they are, and loses none', async (t) => {
  const read = made.perform({ ...call('reduce', 'source:mine.dated', { folder: '/' }), label: 'data-x' });
  await t.throwsAsync(read, {
    name: 'SchemaError',
    message: /Record 1 of mine\.dated \(data-x\) does not fit: A Date at at cannot be stored as JSON/,
  });
});

test('an operator whose seed is not in its key cannot sample', async (t) => {
  const ask = (temperature: number, other: number) => map('mine.asking', { sampling: { temperature }, other });
  await t.throwsAsync(ask(0, 0.7), refused(/mine\.asking samples at temperature 0\.7/));
  await t.notThrowsAsync(ask(0, 0));
  await t.notThrowsAsync(ask(1, 0.7));
});

test('an operator renders no prompt whose version is not in its key', async (t) => {
  await t.throwsAsync(map('mine.fixed'), refused(/mine\.fixed asks by the prompt mine\.wording, which is none of its parameters/));
  await t.notThrowsAsync(map('mine.named', { judge: 'mine.wording' }));
});

test('what a quorum or a kept count leaves out is not the beginning of another chain, and they count the records of the source', async (t) => {
  const chain = (more: object) => call('map', 'mine.half>mine.odd', { over, ...more });
  const steps = stepsOf(made.services);
  const first = async (one: StepCall) =>
    (await resolved(one, { ...made.context, registry: await made.services.registry(made.context.modules), machine: made.services.machine }))
      .chain[0]!;
  for (const more of [{ until: { kept: 2 } }, { quorum: 0.5 }]) {
    await made.perform(chain(more));
    t.is(await store.output((await first(chain(more))).stepKey), undefined, JSON.stringify(more));
  }
  await made.perform(chain({}));
  t.truthy(await store.output((await first(chain({}))).stepKey));
  const opened = await steps.open(chain({ until: { kept: 3 } }), made.context);
  t.like(opened, { work: { skip: 0, over } });
  t.is(((await made.perform(chain({ until: { kept: 2 } }))) as DatasetRef).rows, 2);
});

test('the beginning of a chain stays valid when a file of a later operator changes', async (t) => {
  const pairs = await put(
    store,
    [1, 2].map((n) => record({ instruction: `Ask ${n}`, response: 'One two.' })),
  );
  const chain = (minWords: number) => call('map', 'crab.longEnough>main.humanPair', { over: pairs, params: { minWords, bypass: 0 } });
  const now = await resolved(chain(2), { ...made.context, registry: await made.services.registry([]), machine: made.services.machine });
  await made.perform(chain(2));
  const { stepKey, operation, sources } = now.chain[0]!;
  t.is(operation, 'crab.longEnough');
  const stored = (await store.output(stepKey))!;
  t.deepEqual(stored.sources, sources);
  t.deepEqual(Object.keys(stored.versions), ['crab.longEnough']);
  t.true('operators/main/index.ts' in now.sources);
  t.false('operators/main/index.ts' in stored.sources);
});

test.serial(
  'what a live experiment had finished when other code took it over stays its own, and is looked at like any when it has ended',
  async (t) => {
    const store = await newStore();
    const rating = call('map', 'humpback.rating', {
      over: dataset('b'),
      params: { prompts: { judge: 'humpback.curation' }, sampling: { temperature: 0, maxTokens: 8 }, attempts: 1 },
    });
    const now = await resolved(rating, { registry: await registryOf() });
    const { stepKey, experiment: name } = now;
    const check = () => checkSources(store, { stepKey, sources: { 'operators/reply.ts': 'then' } }, now);
    await store.putExperiment(experiment(name, { state: 'running' }));
    await t.throwsAsync(check, { name: 'OperatorChanged' });
    await store.putFinished(name, ['another', stepKey]);
    await t.notThrowsAsync(check);
    await store.putExperiment(experiment(name, { state: 'failed' }));
    await t.throwsAsync(check, { name: 'OperatorChanged' });
  },
);

test('a step that was made before a file of its operators changed is refused with the names of the files, until somebody says once that it is the same', async (t) => {
  const store = await newStore();
  const rating = call('map', 'humpback.rating', {
    over: dataset('b'),
    params: { prompts: { judge: 'humpback.curation' }, sampling: { temperature: 0, maxTokens: 8 }, attempts: 1 },
  });
  const now = await resolved(rating, { registry: await registryOf() });
  const { stepKey } = now;
  const check = (sources: Record<string, string>) => checkSources(store, { stepKey, sources: { ...now.sources, ...sources } }, now);
  await t.notThrowsAsync(check({}));
  t.true('operators/reply.ts' in now.sources && 'recipe/operator.ts' in now.sources && 'schemas/sampling.ts' in now.sources);
  t.false('operators/musc/parse.ts' in now.sources);
  const shared = { 'operators/reply.ts': 'then', 'operators/humpback/gone.ts': 'then' };
  const error = await t.throwsAsync(check(shared), { name: 'OperatorChanged' });
  t.regex(
    error.message,
    /before operators\/humpback\/gone\.ts, operators\/reply\.ts changed.*BACKSPIN_SAME=[\w,-]*humpback,[\w,-]*tegit[\w,-]* npx backspin plan FILE/,
  );
  t.teardown(() => delete process.env['BACKSPIN_SAME']);
  process.env['BACKSPIN_SAME'] = 'std,humpback';
  await t.notThrowsAsync(check(shared));
  delete process.env['BACKSPIN_SAME'];
  await t.notThrowsAsync(check(shared), 'the store remembers it');
  await t.notThrowsAsync(check({ 'operators/humpback/judges.ts': 'then' }), 'of whatever was before');
  await store.putSame('humpback', 'of other sources');
  await t.throwsAsync(check(shared), { name: 'OperatorChanged' }, 'until they change again');
});
