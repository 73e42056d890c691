/** A green test says: this recipe's example, made small, runs to its end with a real chat model on real text. Every record that a step
 *  reads is kept, or dropped for a reason that the recipe knows, and replies can be parsed. The model that comes out has learnt, loads in
 *  Transformers and answers. It does not say that the data are any good: the model is too small for that. */
import test from 'ava';
import { isRef } from '../../schemas/call.ts';
import { recipes } from './recipes.ts';
import { answer, down, launch, up } from './support.ts';

test.before(up);
test.after.always(down);

for (const [recipe, real] of Object.entries(recipes))
  test(`${recipe}: a real model carries it to its end, no record is lost, and the model that comes out answers`, async (t) => {
    t.timeout(25 * 60_000);
    const { state, steps, result } = await launch(recipe, real);
    for (const { path, kind, in: entered, kept, dropped, requests, seconds, unread } of steps)
      t.log(`${path}: ${kind}, ${seconds?.toFixed(0)} s`, ...(requests ? [`${entered} in, ${kept} kept`, dropped, unread ?? []] : []));
    t.is(state, 'completed');
    t.deepEqual(
      steps.filter((step) => step.state !== 'completed'),
      [],
    );

    const maps = steps.filter(({ kind }) => kind === 'map');
    for (const { path, in: entered, kept, dropped } of maps) {
      t.is(entered, kept! + Object.values(dropped).reduce((sum, count) => sum + count, 0), path);
      for (const reason of Object.keys(dropped)) t.true(real.drops.includes(reason), `${path} drops a record as ${reason}`);
    }
    t.true(maps.some(({ requests, kept }) => requests! > 0 && kept! > 0));

    const { digest } = isRef(result!) ? result : (result!['model'] ?? steps.find(({ path }) => path === real.model)!.output!);
    const { path } = steps.findLast(({ kind, output }) => kind === 'train' && output?.digest === digest)!;
    const { text, learnt } = await answer(recipe, path);
    t.log(`Says: ${text}`);
    t.true(learnt);
    t.not(text.trim(), '');
  });
