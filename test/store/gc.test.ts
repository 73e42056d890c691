import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { applyGc, planGc } from '../../store/gc.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { pathsOf } from '../../store/paths.ts';
import type { Store } from '../../store/store.ts';
import { onStores } from '../support/drivers.ts';
import { experiment, folder, output, put, read, record, records } from '../support/store.ts';

const onBoth = onStores();

const later = () => Date.now() + 2 * 3_600_000;
const entry = (name: string, result: DatasetRef | ModelRef) => ({ result, stepKey: sha256(name), cached: false });

async function model(store: Store, weights: string, from: ModelRef | null, base: string | null = null): Promise<ModelRef> {
  const source = folder();
  await writeFile(join(source, 'config.json'), '{}');
  await writeFile(join(source, 'adapter_config.json'), '{}');
  await writeFile(join(source, 'model.safetensors'), weights);
  const about = { base, dataset: null, template: null, settings: null, steps: null, lastLearningRate: null, determinism: 'exact' } as const;
  return store.putModel(source, { ...about, state: 'weights', from: from?.digest ?? null });
}

onBoth('what an experiment names is kept with all behind it, and the rest goes', async (t, { newStore }) => {
  const store = await newStore();
  const shared = Array.from({ length: 10_000 }, (_, n) => record({ shared: n }));
  const [input, kept, dropped, stray] = [
    await put(store, records(3)),
    await put(store, [...shared, record(1)]),
    await put(store, records(1)),
    await put(store, [...shared, record(2)]),
  ];
  const base = await model(store, 'base', null);
  const tuned = await model(store, 'tuned', base);
  const other = await model(store, 'other', base);
  await store.putOutput(output('map', kept, { droppedRecords: dropped, inputs: [input.digest] }));
  await store.putOutput(output('train', tuned));
  await store.putOutput(output('stray', stray));
  await store.putExperiment(experiment('a', { ledger: { x: entry('map', kept), y: entry('train', tuned) } }));

  const plan = await planGc(store, later());
  t.is(plan.sweep.length, 4, 'the output, dataset, last shard and model of nobody');
  t.is(
    plan.bytes,
    plan.sweep.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  t.deepEqual(await applyGc(store, plan, later()), plan.sweep);
  t.deepEqual([await store.has(stray), await store.has(other), await store.output(sha256('stray'))], [false, false, undefined]);
  for (const ref of [input, kept, dropped]) t.is((await read(store, ref)).length, ref.rows);
  for (const ref of [base, tuned]) t.truthy(await store.modelFolder(ref));
  t.deepEqual((await store.output(sha256('map')))?.result, kept);
  t.deepEqual((await planGc(store, later())).sweep, [], 'nothing is left to do');
});

onBoth('the base of an adapter that an experiment names is kept', async (t, { newStore }) => {
  const store = await newStore();
  const merged = await model(store, 'merged', null);
  const adapter = await model(store, 'adapter', null, merged.digest);
  await store.putOutput(output('train', adapter));
  await store.putExperiment(experiment('a', { ledger: { x: entry('train', adapter) } }));
  t.deepEqual((await planGc(store, later())).sweep, []);
});

onBoth('the beginning of a chain that an experiment has is kept, and another chain on the same input is not', async (t, { newStore }) => {
  const store = await newStore();
  const [input, first, whole, other] = await Promise.all([4, 3, 2, 1].map((n) => put(store, records(n))));
  const inputs = [input!.digest];
  await store.putOutput(output('whole', whole!, { operation: 'x.a>x.b', inputs }));
  await store.putOutput(output('first', first!, { operation: 'x.a', inputs }));
  await store.putOutput(output('other', other!, { operation: 'x.b', inputs }));
  await store.putExperiment(experiment('a', { ledger: { x: entry('whole', whole!) } }));
  await applyGc(store, await planGc(store, later()), later());
  t.deepEqual(await Promise.all([input!, first!, whole!, other!].map((ref) => store.has(ref))), [true, true, true, false]);
});

onBoth('nothing younger than an hour goes', async (t, { newStore }) => {
  const store = await newStore();
  await put(store, records(1));
  t.deepEqual((await planGc(store)).sweep, []);
  t.true((await planGc(store, later())).sweep.length > 0);
});

onBoth('while an experiment is open only leftovers of what ended go', async (t, { newStore }) => {
  const store = await newStore();
  const made = await put(store, records(1));
  await store.putOutput(output('done', made));
  for (const step of ['done', 'under way']) await store.blobs.write(join(store.work(sha256(step)), 'batches', '0'), '');
  await store.blobs.write(join(pathsOf(store.root).temporary, '.left.tmp'), 'half');
  for (const state of ['running', 'paused', 'attention'] as const) {
    await store.putExperiment(experiment('a', { state }));
    const { open, sweep } = await planGc(store, later());
    t.deepEqual(open, ['a']);
    t.deepEqual(
      sweep.map(({ path }) => path),
      [`work/${sha256('done')}`, 'tmp/.left.tmp'],
    );
  }
  await store.putExperiment(experiment('a', { state: 'cancelled' }));
  await applyGc(store, await planGc(store, later()), later());
  t.false(await store.has(made));
});

onBoth('what an experiment came to need after the plan was made stays', async (t, { newStore }) => {
  const store = await newStore();
  const [needed, stray] = [await put(store, records(1)), await put(store, records(2))];
  const plan = await planGc(store, later());
  await store.putExperiment(experiment('late', { result: { data: needed } }));
  await applyGc(store, plan, later());
  t.deepEqual(await Promise.all([needed, stray].map((ref) => store.has(ref))), [true, false]);
});

onBoth('a plan that was altered is refused', async (t, { newStore }) => {
  const store = await newStore();
  await put(store, records(1));
  const plan = await planGc(store, later());
  await t.throwsAsync(applyGc(store, { ...plan, sweep: [...plan.sweep, { path: 'id', bytes: 8, why: '' }] }, later()), {
    name: 'ConfigError',
  });
});
