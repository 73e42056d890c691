/** What a training of a low-rank adapter is given, and what becomes of it in the store. */
import test from 'ava';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Call, ModelRef } from '../../recipe/call.ts';
import { bench } from '../support/memory.ts';
import { put, record } from '../support/store.ts';

const lora = { rank: 8, alpha: 16 };
const made = await bench({ reply: () => '' });
const { store } = made.services;
const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
await writeFile(join(folder, 'config.json'), '{}');
const about = { template: null, settings: null, steps: null, lastLearningRate: null, determinism: 'exact' } as const;
const base = await store.putModel(folder, { ...about, state: 'weights', base: null, from: null, dataset: null });
const data = await put(store, [record({ messages: [] })]);

async function train(from: ModelRef, settings: object) {
  const fixed = { objective: 'sft', learningRate: 1e-3, length: { steps: 2 }, batch: 1, maxTokens: 8, lora, adapter: 'merge' };
  const inputs = { ...fixed, from, data, ...settings };
  const call: Call = { verb: 'train', what: 'sft', label: 'm', path: 'm', arm: null, round: null, inputs };
  const model = (await made.perform(call)) as ModelRef;
  return { model, manifest: await store.model(model), spec: made.trainings.at(-1)!.spec };
}
const folderOf = (model: { digest: string }) => store.modelFolder(model);

test.serial('a training with lora gives an adapter of what it began with, and its settings are in the manifest', async (t) => {
  const { manifest, spec } = await train(base, { lora: { ...lora, targets: ['q_proj'], dropout: 0.1 } });
  t.like(spec, { from: await folderOf(base), base: null, lora: { ...lora, targets: ['q_proj'], dropout: 0.1 } });
  t.like(manifest, { from: base.digest, base: base.digest, settings: { lora: spec.lora } });
  const all = await train(base, {});
  t.deepEqual(all.spec.lora, { ...lora, targets: null, dropout: 0 });
  t.not(all.model.digest, manifest.digest, 'the settings are in the key of the step');
});

test.serial(
  'a preference has its beta and its reference, which are in the key of the step and, without paths, in the manifest',
  async (t) => {
    const first = await train(base, {});
    t.like(first.spec, { beta: null, reference: null });
    const plain = await train(base, { objective: 'dpo' });
    t.like(plain.spec, { objective: 'dpo', beta: 0.1, reference: null });
    const held = await train(base, { objective: 'dpo', beta: 0.5, reference: first.model });
    t.deepEqual(held.spec.reference, { folder: await folderOf(first.model), base: await folderOf(base) });
    t.like(held.manifest, { settings: { beta: 0.5 } });
    t.false('reference' in (held.manifest.settings as object));
    t.is(new Set([first, plain, held].map(({ model }) => model.digest)).size, 3);
  },
);

test.serial('an adapter that is gone on with stays upon its base', async (t) => {
  const first = await train(base, {});
  const { manifest, spec } = await train(first.model, { adapter: 'continue' });
  t.like(spec, { from: await folderOf(first.model), base: await folderOf(base), adapter: 'continue' });
  t.like(manifest, { from: first.model.digest, base: base.digest });
});

test.serial('an adapter that is merged first becomes the base of the next, or is in the whole weights', async (t) => {
  const first = await train(base, {});
  const second = await train(first.model, {});
  t.is(second.manifest.from, first.model.digest);
  t.like(await store.model({ digest: second.manifest.base! }), { from: first.model.digest, base: null, steps: 2 });
  const whole = await train(first.model, { lora: null });
  t.like(whole.manifest, { from: first.model.digest, base: null });
});
