import type { RecordNews, Step } from '../../schemas/experiment.ts';
import { onStores } from '../support/drivers.ts';
import { experiment } from '../support/store.ts';

const onBoth = onStores();

const step = (path: string, more: Partial<Step> = {}): Step => ({
  path,
  arm: null,
  round: null,
  name: path,
  kind: 'map',
  operation: 'toy.double',
  state: 'running',
  stepKey: null,
  cached: false,
  result: null,
  ...more,
});
const news = (count: number, steps: readonly string[], since: number | null, more: Partial<RecordNews> = {}): RecordNews => ({
  ...experiment('a', { state: 'running', round: count }),
  steps: steps.map((path) => step(path)),
  written: { run: 'run', count },
  since: since === null ? null : { run: 'run', count: since },
  ...more,
});

onBoth('a record grows by what is new, and what comes late or twice takes nothing away', async (t, { newStore }) => {
  const store = await newStore();
  const paths = async () => (await store.experiment('a'))!.steps.map(({ path, state }) => `${path} ${state}`);
  t.true(await store.addToExperiment(news(1, ['one', 'two'], null)));
  const second = { ...news(2, [], 1), steps: [step('two', { state: 'completed' }), step('three')] };
  t.true(await store.addToExperiment(second));
  t.deepEqual(await paths(), ['one running', 'two completed', 'three running']);
  t.true(await store.addToExperiment(news(1, ['one', 'two'], null)), 'an attempt that was thought dead');
  t.true(await store.addToExperiment(second), 'one whose answer was lost');
  t.deepEqual(await paths(), ['one running', 'two completed', 'three running']);
  t.is((await store.experiment('a'))!.round, 2);
});

onBoth('news that build on what the store lacks are refused, and change nothing', async (t, { newStore }) => {
  const store = await newStore();
  t.false(await store.addToExperiment(news(2, ['two'], 1)));
  t.is(await store.experiment('a'), undefined);
  await store.putExperiment(experiment('a', { state: 'running', steps: [step('other')] }));
  t.false(await store.addToExperiment(news(2, ['two'], 1)));
  t.deepEqual(
    (await store.experiment('a'))!.steps.map(({ path }) => path),
    ['other'],
  );
});

onBoth(
  'what a run writes as a whole, in parts, stands alone once the last part is there, and loses nothing before',
  async (t, { newStore }) => {
    const store = await newStore();
    const paths = async () => (await store.experiment('a'))!.steps.map(({ path }) => path);
    await store.putExperiment(experiment('a', { state: 'running', steps: [step('old'), step('one')] }));
    await store.addToExperiment(news(1, ['one'], null));
    t.deepEqual(await paths(), ['old', 'one']);
    await store.addToExperiment(news(2, ['two'], 1, { only: ['one', 'two'] }));
    t.deepEqual(await paths(), ['one', 'two']);
  },
);
