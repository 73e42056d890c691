/**
 * Every part of a running experiment, killed with SIGKILL once in every phase (generate, judge, train, evaluate), on a miniature
 * of the demo: nobody helps, and the end is the same. One undisturbed run, and one for each part; every run has a home of its own.
 * `npm test` kills the gpu worker, the model server, the trainer, and everything at once; `npm run test:faults` the others too.
 * Beside that, everything is killed while the experiment is paused.
 */
import test from 'ava';
import type { View } from '../../cli/view.ts';
import type { PartName } from '../../cli/chaos/parts.ts';
import { IN_FLIGHT, Miniature } from '../support/miniature.ts';
import { disturbed, killed, undisturbed, type Kill } from '../support/miniature-kill.ts';
import { pause } from '../support/miniature-pause.ts';

const usual: readonly PartName[] = ['gpu worker', 'model server', 'trainer', 'everything at once'];
const chosen = process.env['BACKSPIN_FAULTS'] === 'all' ? (Object.keys(killed) as PartName[]) : usual;

/** What must be equal, of each step: all but how long it took, and whether it was found done by an attempt after a kill. */
const essence = ({ steps }: View) =>
  steps
    .map(({ path, stepKey, kind, state, in: of, kept, dropped, requests, output, outputs }) => ({
      path,
      stepKey,
      kind,
      state,
      of,
      kept,
      dropped,
      requests,
      output,
      outputs,
    }))
    .toSorted((a, b) => a.path.localeCompare(b.path));
const total = (numbers: Iterable<number>) => [...numbers].reduce((sum, number) => sum + number, 0);

/** Seconds from a part's return to the next journaled record, training step or output; of a model server from its death, beside its own start. */
const bound = (part: PartName) => (part === 'model server' ? 3 : part.endsWith('worker') || part === 'orchestrator' ? 5 : 20);

let reference: View;

test.before('the undisturbed run', async (t) => {
  t.timeout(600_000);
  const site = new Miniature();
  try {
    await undisturbed(site);
    reference = await site.status();
  } finally {
    await site.down();
  }
  t.deepEqual(
    site.asked().filter(({ again }) => again > 0),
    [],
    'nothing is asked twice where nothing dies',
  );
  site.remove();
});

for (const part of chosen) {
  test.serial(
    `${part} killed in each phase: same digests and metrics, nothing lost, doubled, asked again or left over, and soon on its way`,
    async (t) => {
      t.timeout(900_000);
      const site = new Miniature();
      let recoveries: Kill[];
      let view: View;
      try {
        recoveries = await disturbed(site, part, reference);
        view = await site.status();
      } finally {
        await site.down();
      }
      for (const recovery of recoveries) t.log(recovery);

      t.is(view.state, 'completed');
      t.deepEqual(essence(view), essence(reference), 'every step has the undisturbed result');
      t.deepEqual(view.metrics, reference.metrics);
      t.deepEqual(view.result, reference.result);
      for (const { path, in: of, kept, dropped } of view.steps.filter(({ kind, output }) => kind === 'map' && output !== null))
        t.is(of, kept! + total(Object.values(dropped)), `${path}: in = kept + dropped`);
      t.deepEqual(site.doubles(), [], 'no journal has a record or a call twice');

      t.is(total(site.asked().map(({ counted }) => counted)), total(view.steps.map(({ requests }) => requests ?? 0)));
      for (const { counted, answered, again } of site.asked()) {
        t.is(answered, counted, 'all of its requests, and no other');
        t.true(again <= IN_FLIGHT * recoveries.length, 'at most the requests in flight are answered again');
      }
      t.deepEqual(site.processes(), [], 'no process is left over');

      t.is(recoveries.length, killed[part].length);
      for (const { phase, back, replaced, progress } of recoveries)
        t.true((part === 'model server' ? replaced! : 0) + Math.max(0, progress - back) <= bound(part), `${phase}: soon on its way`);
      site.remove();
    },
  );
}

test.serial(
  'paused in mid-shard, it stops and frees the device within 2 s, stays paused when everything is killed, and ends as undisturbed',
  async (t) => {
    t.timeout(600_000);
    const site = new Miniature();
    const judge = reference.steps.find(({ path }) => path === 'r1/judge')!;
    try {
      await site.up();
      await site.launch();
      const { stage, lease } = await pause(site, judge, 5);
      t.log({ stage, lease });
      t.true(stage <= 2);
      t.true(lease <= 2);

      const journaled = site.done('map', judge.stepKey!);
      for (const pid of [...site.processes().map((one) => one.pid), site.current.pid]) process.kill(pid, 'SIGKILL');
      await site.until(() => site.empty, 20_000, 'nothing is left');
      await site.up();
      await site.until(async () => (await site.status()).state === 'paused', 60_000, 'it is still paused');
      t.is(site.done('map', judge.stepKey!), journaled);

      await site.run('resume', site.name);
      await site.until(() => site.completed, 400_000, 'the experiment is completed');
      t.deepEqual(essence(await site.status()), essence(reference));
      t.deepEqual(site.doubles(), []);
    } finally {
      await site.down();
    }
    t.deepEqual(site.processes(), []);
    site.remove();
  },
);
