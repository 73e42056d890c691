/**
 * The miniature of the demo with a fault in every part and phase: nobody helps, and the end is the same. `npm test` tries a drawn twentieth
 * of the matrix once, `npm run test:faults` all of it twice; BACKSPIN_FAULTS=WORDS tries the cells whose names have these words, and
 * BACKSPIN_FAULTS=left those that have not passed twice.
 */
import test from 'ava';
import type { View } from '../../experiments/view.ts';
import { canMount } from '../support/miniature.ts';
import { drawn, matrix, nameOf, poisonOf, runsOf, takesRoot, type Cell, type Poison, type Run } from './matrix.ts';
import { keep, passed, writePage } from './results.ts';
import { carryOut, type Circumstances, type Outcome } from './run.ts';

const wanted = process.env['BACKSPIN_FAULTS'];
const seed = process.env['BACKSPIN_SEED'] ?? String(Date.now());
const named: readonly Cell[] =
  wanted === undefined
    ? drawn(seed)
    : matrix.filter((cell) => wanted === 'all' || (wanted === 'left' ? !passed(cell) : nameOf(cell).includes(wanted)));
const chosen = canMount() ? named : named.filter((cell) => !takesRoot(cell));
const passes = wanted === 'all' ? [1, 2] : [1];

const PATIENCE = 3_600_000;
/** Seconds: beside other tests everything takes longer. */
const within = wanted === undefined ? 300 : 20;

let undisturbed: Outcome;
/** Undisturbed, but for records that the server refuses for good; and with new code from the beginning. */
const refused = new Map<Poison, View>();
let upgraded: View | undefined;

test.before('the undisturbed run', async (t) => {
  t.timeout(PATIENCE);
  t.log(wanted === undefined ? `${chosen.length} of ${matrix.length} cells, drawn with BACKSPIN_SEED=${seed}` : `${chosen.length} cells`);
  if (chosen.length < named.length)
    t.log('No disk can be mounted here (that takes root): what a full one and a second host do is not tried.');
  undisturbed = await carryOut([]);
  t.deepEqual(undisturbed.broken, []);
});

test.after.always('the page tells what came of it', () => {
  if (wanted !== undefined) writePage();
});

for (const pass of passes) {
  for (const run of runsOf(chosen)) {
    const cells = run.map(({ cell }) => cell);
    test.serial(`${pass}: ${cells.map(nameOf).join(', ')}: the end is the same, nothing lost, doubled or left over`, async (t) => {
      t.timeout(PATIENCE);
      const poison = poisonOf(cells[0]!);
      const poisoned = poison && { poison, records: undisturbed.asking };
      if (poisoned && !refused.has(poisoned.poison)) refused.set(poisoned.poison, (await carryOut([], { poisoned })).view);
      const isUpgrade = cells[0]!.fault === 'upgrade';
      if (isUpgrade) upgraded ??= (await carryOut([], { upgraded: true })).view;
      const reference = poison ? refused.get(poison)! : isUpgrade ? upgraded! : undisturbed.view;
      const broken: string[] = [];
      let left: readonly Cell[] = cells;
      while (left.length > 0 && broken.length === 0) {
        const outcome = await tried(runsOf(left)[0]!, {
          reference,
          before: poison ? reference : undisturbed.view,
          within,
          ...(poisoned && { poisoned }),
        });
        if (wanted !== undefined) keep(outcome);
        for (const { cell, recovery } of outcome.tried) t.log(nameOf(cell), recovery);
        const done = outcome.tried.map(({ cell }) => cell);
        if (done.length === 0) broken.push(`never tried, their steps being over: ${left.map(nameOf).join(', ')}`);
        broken.push(...outcome.broken);
        left = left.filter((cell) => !done.includes(cell));
      }
      t.deepEqual(broken, []);
    });
  }
}

/** What goes wrong in the midst of a run counts for all of its cells. */
async function tried(run: Run, circumstances: Circumstances): Promise<Pick<Outcome, 'tried' | 'missed' | 'broken'>> {
  try {
    return await carryOut(run, circumstances);
  } catch (error) {
    return { tried: run.map(({ cell }) => ({ cell, recovery: null })), missed: [], broken: [(error as Error).message] };
  }
}
