/** What the memory of a training depends on, and what is said of one that is too large. */
import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { trainingFault } from '../../plan/devices.ts';
import { memoryOf, memoryWarning, type Training } from '../../plan/memory.ts';
import { parameters } from '../../plan/sizes.ts';
import { call, context, machine, model } from '../support/keys.ts';
import { fitsTable, models } from '../support/fits.ts';

const shape = models['Llama-3.1-8B']!;
const settings = { objective: 'sft', lora: null, maxTokens: 2048 } as const;
const lora = { rank: 16, alpha: 32 };
const one: Training = { shape, settings, rows: 1, accumulates: false, devices: 1, shard: 'none', device: 'cuda' };

test('models have as many parameters as their cards say', (t) => {
  for (const [name, billions] of [
    ['SmolLM2-1.7B', 1.71],
    ['Qwen2.5-7B', 7.62],
    ['Llama-3.1-8B', 8.03],
    ['Qwen2.5-32B', 32.8],
    ['Llama-3.1-70B', 70.6],
  ] as const)
    t.true(Math.abs(parameters(models[name]!) / 1e9 / billions - 1) < 0.01, `${name}: ${parameters(models[name]!)}`);
});

test('all weights take 16 bytes a parameter, an adapter two for its base, and fsdp2 divides both', (t) => {
  const states = ({ weights, gradients, optimizer }: ReturnType<typeof memoryOf>) => weights + gradients + optimizer;
  const count = parameters(shape);
  t.is(states(memoryOf(one)), 16 * count);
  const adapted = states(memoryOf({ ...one, settings: { ...settings, lora } }));
  t.true(adapted > 2 * count && adapted < 2.1 * count);
  t.is(states(memoryOf({ ...one, devices: 4, shard: 'fsdp2' })), 4 * count);
  t.is(states(memoryOf({ ...one, devices: 4 })), 20 * count, 'data parallelism divides nothing and holds buckets of gradients');
});

test('activations grow with rows, tokens and answers, and gradients that are added up stay beside them', (t) => {
  const activations = (more: Partial<Training>) => memoryOf({ ...one, settings: { ...settings, lora }, ...more }).activations;
  t.true(activations({ rows: 4 }) > 2 * activations({}));
  t.true(activations({ settings: { ...settings, lora, objective: 'dpo' } }) > activations({}));
  t.true(memoryOf({ ...one, accumulates: true }).total > memoryOf(one).total);
});

test('a plan warns of a training that will not fit, with what would help', (t) => {
  const on = (groups: readonly (readonly number[])[], more: object = {}, training: object = {}) =>
    memoryWarning(
      call('train', 'sft', { ...settings, ...more, from: model('a') }),
      { ...context, training: { pool: 'gpu', threads: 1, ...training } },
      machine({ groups: (pool) => (pool === 'gpu' ? groups : undefined) }),
      shape,
    );
  const large = [80e9];
  t.regex(
    on([large])!,
    /^Step r1\/step needs about 14\d\.\d GB on each device .* the devices of the pool "gpu" have 80\.0 GB: train an adapter/,
  );
  t.regex(on([large])!, /`shard: fsdp2` under `training`/);
  t.is(on([large], { lora }), undefined);
  t.is(on([Array<number>(8).fill(80e9)], {}, { shard: 'fsdp2' }), undefined);
  t.regex(on([Array<number>(2).fill(40e9)], {}, { shard: 'fsdp2' })!, /name more devices in a group/);
  t.is(on([[]]), undefined, 'of a pool on the CPU nothing is said');
});

test('a plan refuses held-out rows of a training by a command', (t) => {
  const command = { run: ['train'], config: null, version: '1' };
  const faultOf = (evaluate?: object) =>
    trainingFault(call('train', 'sft', { batch: 1, evaluate }), { ...context, training: { pool: 'cpu', threads: 1, command } }, machine());
  t.is(faultOf(), undefined);
  t.regex(faultOf({ share: 0.1 })!, /^Step r1\/step: a command measures held-out rows itself/);
});

test('a plan refuses settings of one loss of preferences beside another loss', (t) => {
  const faultOf = (settings: object) =>
    trainingFault(call('train', 'dpo', { batch: 1, ...settings }), { ...context, training: { pool: 'cpu', threads: 1 } }, machine());
  t.is(faultOf({ loss: 'simpo', gamma: 1, sft: 0.5 }), undefined);
  t.regex(faultOf({ gamma: 1 })!, /^Step r1\/step: `gamma` goes with `loss: simpo`/);
  t.regex(faultOf({ loss: 'orpo', sft: 0.5 })!, /^Step r1\/step: `loss: orpo` has the whole SFT loss anyway/);
});

test('a plan refuses an option for CUDA devices where the pool has none, and options that exclude each other', (t) => {
  const faultOf = (settings: object, group?: readonly number[], training: object = {}) =>
    trainingFault(
      call('train', 'sft', { batch: 1, ...settings }),
      { ...context, training: { pool: 'some', threads: 1, ...training } },
      { groups: () => group && [group] },
    );
  const options = [{ quantization: 'nf4', lora }, { optimizer: 'adamw-8bit' }, { attention: 'flash-attention-3' }, { liger: true }];
  for (const settings of options) {
    t.regex(faultOf(settings, [])!, /^Step r1\/step: `.*` needs a CUDA device, and the pool "some" has none/);
    t.is(faultOf(settings, [24e9]), undefined);
    t.is(faultOf(settings), undefined, 'of a pool that has not been up nothing is known');
  }
  t.is(faultOf({ packing: true }, []), undefined);
  t.regex(faultOf({ quantization: 'nf4' }, [24e9])!, /is for the frozen base of an adapter: set `lora`/);
  t.regex(faultOf({ optimizer: 'adamw-8bit' }, [24e9, 24e9], { shard: 'fsdp2' })!, /cannot divide numbers of 8 or 4 bits/);
  t.regex(faultOf({ objective: 'kto', loss: 'ipo' }, [])!, /are for pairs of answers, and the rows of `kto` are single ones/);
  t.is(faultOf({ objective: 'kto' }, []), undefined);
  t.regex(faultOf({ objective: 'tagger', packing: true }, [])!, /rows of a tagger are not packed/);
});

test('a base of 4 bits takes a quarter of the memory of its layers, and 8 bits of state a quarter of that of 32', (t) => {
  const of = (more: object) => memoryOf({ ...one, settings: { ...settings, lora, ...more } });
  t.true(of({ quantization: 'nf4' }).weights < 0.4 * of({}).weights);
  t.is(of({ optimizer: 'adamw-8bit' }).optimizer, of({}).optimizer / 4);
});

test('the table in docs/training.md is what the plan computes', (t) => {
  const docs = readFileSync(join(import.meta.dirname, '../../docs/training.md'), 'utf8');
  t.true(docs.includes(fitsTable()), `docs/training.md needs this table:\n${fitsTable()}`);
});
