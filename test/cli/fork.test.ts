/** What a fork has of its parent. */
import test from 'ava';
import { pinnedSteps, refuseTooMany } from '../../cli/fork.ts';
import type { ExperimentInput } from '../../schemas/messages.ts';
import { changedInputs } from '../../workflows/pins.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import type { Step } from '../../schemas/experiment.ts';

const corpus = (path: string) => ({ source: 'std.table', params: { path: [path] }, folder: '/' });
const inputs: Pick<BoundConfig, 'data' | 'models'> = {
  data: { corpus: corpus('a.jsonl'), seed: corpus('seed.jsonl') },
  models: { base: { path: '/base' } },
};
const step = (path: string): Step => ({ path, round: Number(/^r(\d+)\//.exec(path)?.[1] ?? 0) || null }) as Step;
const steps = ['data-corpus', 'data-seed', 'model-base', 'forward', 'r1/judge', 'evaluate-forward', 'r1/forward', 'r2/judge', 'final'].map(
  step,
);
const paths = (changed: readonly string[], round = 1) => pinnedSteps(steps, round, changed).map(({ path }) => path);

test('a fork has no data and no model of its parent that its `--set` declares in another way', (t) => {
  t.deepEqual(changedInputs(inputs, structuredClone(inputs)), []);
  const changed = changedInputs(inputs, { data: { ...inputs.data, corpus: corpus('new.jsonl') }, models: { base: { path: '/other' } } });
  t.deepEqual(changed, ['data.corpus', 'models.base']);
  t.deepEqual(paths(changed), ['data-seed', 'forward', 'r1/judge', 'r1/forward']);
});

test('a fork has the rounds of its parent up to its own and what came before the first, and nothing that comes behind the rounds', (t) => {
  t.deepEqual(paths([]), ['data-corpus', 'data-seed', 'model-base', 'forward', 'r1/judge', 'r1/forward']);
  t.deepEqual(paths([], 0), ['data-corpus', 'data-seed', 'model-base', 'forward']);
  t.deepEqual(pinnedSteps(['data-text', 'base'].map(step), 0, []), [], 'without rounds there is nothing that parameters leave alone');
});

test('a fork that Temporal would refuse for its size is refused with a remedy', (t) => {
  const digest = 'a'.repeat(64);
  const result = { of: 'report', digest } as never;
  const pin = { entry: { result, stepKey: digest, cached: true }, inputs: [digest, digest] };
  const pins = (count: number): ExperimentInput['pins'] =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`r${n}/judge`, pin]));
  t.notThrows(() => refuseTooMany(pins(2_000), 'long'));
  t.throws(() => refuseTooMany(pins(8_000), 'long'), { message: /^A fork of long .* 8,000 steps, .*fork from an earlier round/ });
});
