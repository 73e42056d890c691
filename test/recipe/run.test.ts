import test from 'ava';
import type { Op, Run } from '../../recipe/index.ts';
import type { StepCall, DatasetRef } from '../../schemas/call.ts';
import { RecipeError, RecipeRuntime, type StepEngine } from '../../recipe/runtime.ts';

const copy = { id: 'test.copy' } as Op<unknown, unknown>;
const dataset = (digest: string, rows = 3): DatasetRef => ({ kind: 'dataset', digest, rows });

function engine(more: Partial<StepEngine> = {}) {
  const performed: StepCall[] = [];
  const shared: StepCall[] = [];
  const verbs = new RecipeRuntime({
    perform: async (call) => (performed.push(call), dataset(`of ${call.operation}`)),
    shared: (call) => void shared.push(call),
    decide: async (_path, _reports, rule) => rule(),
    gate: async () => {},
    round: async () => true,
    ...more,
  });
  const paths = (calls: readonly StepCall[]) => calls.map(({ path }) => path);
  return { verbs, run: verbs.run, performed: () => paths(performed), shared: () => paths(shared) };
}
const over = dataset('a') as never;

test('an equal step of two arms is done once, and told under both names', async (t) => {
  const on = engine();
  const [a, b] = await Promise.all([on.run.arm('left').map(copy, over), on.run.arm('right').map(copy, over)]);
  t.is(a, b);
  t.deepEqual(on.performed(), ['left/copy']);
  t.deepEqual(on.shared(), ['right/copy']);
});

test('a map of a round is fresh in each round; asked of the run, it is done once', async (t) => {
  const on = engine();
  for await (const round of on.run.rounds(2)) {
    await round.map(copy, over);
    await on.run.map(copy, over, { as: 'once' });
  }
  t.deepEqual(on.performed(), ['r1/copy', 'once', 'r2/copy']);
});

test('two different steps never have one name', async (t) => {
  const on = engine();
  await on.run.map(copy, over);
  await on.run.map(copy, dataset('b'));
  const [first, second] = on.performed();
  t.is(first, 'copy');
  t.regex(second!, /^copy~\w{4}$/);
});

test('which of two steps has a name, and what the other is called, does not hang on whose inputs are ready first', async (t) => {
  const named = async (slow: number) => {
    const on = engine();
    const soon = Promise.withResolvers<never>();
    const inputs = [dataset('a'), dataset('b'), dataset('c')].map((one, n) => (n === slow ? soon.promise : (one as never)));
    const all = Promise.all(inputs.map((one) => on.run.map(copy, one)));
    await new Promise((next) => setImmediate(next));
    soon.resolve(dataset(['a', 'b', 'c'][slow]!) as never);
    await all;
    return on.performed().toSorted();
  };
  const names = await named(0);
  t.is(new Set(names).size, 3);
  t.true(names.includes('copy'));
  t.deepEqual(await named(1), names);
  t.deepEqual(await named(2), names);
});

test('a name that a recipe gives with a ~ in it is told apart like any other', async (t) => {
  const on = engine();
  await on.run.map(copy, over, { as: 'copy~1' });
  await on.run.map(copy, dataset('b'), { as: 'copy~1' });
  t.regex(on.performed()[1]!, /^copy~1~\w{4}$/);
});

test('a gate has the name that its recipe gives it', async (t) => {
  const paths: string[] = [];
  const { run } = engine({ gate: async (_of, gate) => void paths.push(gate.path) });
  await run.gate(dataset('a', 3) as never, { rows: 1 }, { as: 'gate-questions' });
  await run.arm('other').gate(dataset('b', 3) as never, { rows: 1 }, { as: 'gate-answers' });
  t.deepEqual(paths, ['gate-questions', 'other/gate-answers']);
});

test('a round ends when its steps have, on break too, and a step that nobody awaits still fails the recipe', async (t) => {
  const ended: string[] = [];
  const failing = engine({
    async perform(call) {
      await new Promise((next) => setImmediate(next));
      ended.push(call.path);
      throw new Error(`${call.path} failed`);
    },
  });
  const recipe = async (run: Run) => {
    for await (const round of run.rounds(5)) {
      void round.map(copy, over);
      break;
    }
    ended.push('the loop');
  };
  await recipe(failing.run);
  t.deepEqual(ended, ['r1/copy', 'the loop']);
  await t.throwsAsync(failing.verbs.joined(), { message: 'r1/copy failed' });
});

test('the report of an oracle enters neither a decision nor a gate', async (t) => {
  const { run } = engine();
  const report = { kind: 'report', digest: 'r', metrics: { right: 1 }, oracle: true } as never;
  await t.throwsAsync(
    run.decide('good', { report }, () => true, true),
    { instanceOf: RecipeError, message: /never decided upon/ },
  );
  await t.throwsAsync(run.gate(report, { atLeast: { right: 0.5 } } as never), { instanceOf: RecipeError });
});

test('each gate of a scope has a path of its own, by the order in which the recipe names them', async (t) => {
  const paths: string[] = [];
  const { run } = engine({ gate: async (_of, gate) => void paths.push(gate.path) });
  const late = new Promise((done) => setImmediate(done, dataset('a', 3)));
  await Promise.all([run.gate(late as never, { rows: 1 }), run.gate(dataset('b', 3) as never, { rows: 1 })]);
  await run.arm('other').gate(dataset('b', 3) as never, { rows: 1 });
  t.deepEqual(paths, ['gate~2', 'gate', 'other/gate']);
});

test('a gate says what it wants and what there is: rows, a kept share, a number', async (t) => {
  const short: (string | null)[] = [];
  const { run } = engine({ gate: async (_of, gate) => void short.push(gate.short) });
  await run.gate(dataset('a', 3) as never, { rows: 4 });
  await run.gate({ ...dataset('a', 3), share: 0.25 } as never, { share: 0.5 });
  await run.gate({ kind: 'report', digest: 'r', metrics: { right: 0.2 }, oracle: false } as never, { atLeast: { right: 0.3 } } as never);
  await run.gate(dataset('a', 4) as never, { rows: 4, share: 0.5 });
  t.deepEqual(short, [
    'wants at least 4 records and has 3',
    'wants a share of at least 0.5 kept and has 0.250',
    'wants right of at least 0.3 and has 0.2',
    null,
  ]);
});
