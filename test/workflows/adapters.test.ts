/** Adapters of low rank through everything: trained by the real trainer, asked side by side on one real server. */
import test from 'ava';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { site } from '../support/temporal.ts';

test('two roles of a step are two adapters of one base on one server; an adapter is gone on with, or merged', async (t) => {
  const on = await site();
  t.teardown(() => on.close());
  const { services } = on;
  const { store } = services;
  const base = resolve(import.meta.dirname, '../../examples/textworld/base/rated');
  const { data, onward, anew } = await on.working(() =>
    on.onDevices(1, 600_000, async () => {
      const handle = await on.start('adapters', 'adapters', { count: 20 }, { models: { speaker: { path: base } } });
      return (await handle.result()) as { data: DatasetRef; onward: ModelRef; anew: ModelRef };
    }),
  );

  t.is(data.rows, 20);
  const { steps } = (await store.experiment('adapters'))!;
  const modelOf = (path: string) => store.model(steps.find((step) => step.path === path)!.result as ModelRef);
  const [whole, forward, backward] = await Promise.all(['model-speaker', 'forward', 'backward'].map(modelOf));
  t.deepEqual([forward!.base, backward!.base], [whole!.digest, whole!.digest]);

  const served = JSON.parse(await readFile(join(services.home, 'serve', 'cpu-0', 'serve.json'), 'utf8')) as { models: object };
  const upon = await store.modelFolder(whole!);
  const models = [forward!, backward!].map(async (model) => [
    model.digest.slice(0, 16),
    { folder: await store.modelFolder(model), base: upon },
  ]);
  t.deepEqual(served.models, Object.fromEntries(await Promise.all(models)));

  t.like(await store.model(onward), { from: forward!.digest, base: whole!.digest });
  const { base: merged, from } = await store.model(anew);
  t.is(from, forward!.digest);
  t.like(await store.model({ digest: merged! }), { from: forward!.digest, base: null });
});
