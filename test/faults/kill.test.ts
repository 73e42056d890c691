/**
 * Every part of a running experiment, killed with SIGKILL once in every phase (generate, judge, train, evaluate), on a miniature
 * of the demo: nobody helps, and the end is the same. One undisturbed run, and one for each part; every run has a home of its own.
 * `npm test` kills the gpu worker, the model server, the trainer, and everything at once; `npm run test:faults` the others too.
 * Beside that, everything is killed while the experiment is paused.
 */
import test from 'ava';
import type { View } from '../../cli/view.ts';
import { IN_FLIGHT, Miniature } from '../support/miniature.ts';
import { pause } from '../support/miniature-pause.ts';
import { disturbed, parts, undisturbed, type Part, type Recovery } from '../support/miniature-kill.ts';

const usual: readonly Part[] = ['gpu worker', 'model server', 'trainer', 'everything at once'];
const killed = process.env['BACKSPIN_FAULTS'] === 'all' ? (Object.keys(parts) as Part[]) : usual;

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
const bound = (part: Part) => (part === 'model server' ? 3 : part.endsWith('worker') || part === 'orchestrator' ? 5 : 20);

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
    [...site.answered().values()].map((requests) => total(requests.values()) - requests.size),
    [...site.answered().values()].map(() => 0),
    'nothing is asked twice where nothing dies',
  );
  site.remove();
});

for (const part of killed) {
  test.serial(
    `${part} killed in each phase: same digests and metrics, nothing lost, doubled, asked again or left over, and soon on its way`,
    async (t) => {
      t.timeout(900_000);
      const site = new Miniature();
      let recoveries: Recovery[];
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

      const answered = site.answered();
      for (const { path, stepKey, requests } of view.steps.filter((step) => step.requests)) {
        const times = answered.get(stepKey!.slice(0, 16))!;
        t.is(times.size, requests!, `${path}: all of its requests, and no other`);
        t.true(
          total(times.values()) - times.size <= IN_FLIGHT * recoveries.length,
          `${path}: at most the requests in flight are answered again`,
        );
      }
      t.deepEqual(site.processes(), [], 'no process is left over');

      t.is(recoveries.length, parts[part].phases.length);
      for (const { phase, noticed, progress, gone } of recoveries) {
        t.true((part === 'model server' ? noticed : 0) + progress <= bound(part), `${phase}: soon on its way`);
        t.true(gone <= 10, `${phase}: all that \`up\` had started ends with it`);
      }
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

      const journaled = site.done(judge.stepKey!);
      for (const pid of [site.current.pid, ...site.processes().map((one) => one.pid)]) process.kill(pid, 'SIGKILL');
      await site.until(() => site.processes().length === 0, 20_000, 'nothing is left');
      await site.up();
      t.is((await site.status()).state, 'paused');
      t.is(site.done(judge.stepKey!), journaled);

      await site.say('resume');
      await site.finished(400_000);
      t.deepEqual(essence(await site.status()), essence(reference));
      t.deepEqual(site.doubles(), []);
    } finally {
      await site.down();
    }
    t.deepEqual(site.processes(), []);
    site.remove();
  },
);
