/** Steps of a kind that the demo has none of, each killed once in its midst: an embedding reducer, requests that follow from each other
 *  to two models, a continued adapter, a tagger. `npm test` tries LINGUIST, which takes the least time, `npm run test:faults` all of them, and
 *  BACKSPIN_FAULTS=air AIR. */
import test from 'ava';
import { join } from 'node:path';
import type { Refined } from '../../operators/air/records.ts';
import type { Extended } from '../../operators/self-lengthen/records.ts';
import { Completed, type Killed } from '../support/again.ts';

const midway = (part: Killed['part']): Killed => ({
  part,
  when: async (world, stepKey) => ((await world.live('map', stepKey))?.done ?? 0) > 0,
});
const completed = (name: string) => new Completed(test, join(import.meta.dirname, `../support/${name}.yaml`), name);
const redone = (of: Completed, path: string, name: string, killed?: Killed) =>
  test.serial(`${path}, killed (${name}), is done again to the same bytes`, (t) => {
    t.timeout(1_800_000);
    return of.redone(t, path, name, killed);
  });

const methods = {
  air() {
    const air = completed('rote-air');
    test.serial('AIR asks two models about a record, again and again', async (t) => {
      const refined = await air.records<Refined>('refine');
      t.true(refined.some(({ steps }) => steps.length > 0));
      t.true(new Set(refined.map(({ answer }) => answer)).size > refined.length / 2, 'a reply tells which request it answers');
      t.true(air.step('refine').requests! >= 5 * refined.length);
    });
    redone(air, 'diverse', 'farthest-first');
    redone(air, 'refine', 'another-server', midway('model server'));
    redone(air, 'refine', 'another-worker', midway('gpu worker'));
  },
  'self-lengthen'() {
    const longer = completed('rote-lengthen');
    test.serial('Self-Lengthen makes drafts longer', async (t) => {
      const extended = await longer.records<Extended>('r1/lengthen');
      t.true(new Set(extended.map(({ text }) => text)).size > 1);
      t.true(extended.every(({ text, initial }) => text.length > initial.length));
    });
    redone(longer, 'r1/lengthen', 'extensions', midway('model server'));
    redone(longer, 'final', 'continued-adapter');
  },
  linguist() {
    const tagged = completed('tagger');
    const student = 'RiverFish/draw-0/linguist/student-0';
    redone(tagged, `${student}/student`, 'tagger-trained');
    redone(tagged, `${student}/evaluate`, 'tagger-evaluated');
  },
};

const names = Object.keys(methods) as (keyof typeof methods)[];
const { BACKSPIN_FAULTS: wanted = 'linguist' } = process.env;
for (const name of names) if (wanted === 'all' || wanted === name) methods[name]();
