/** The acceptance facts of MuSC (those of its loss are in trainer/tests), and what the recipe lets one choose. */
import test from 'ava';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tableOf } from '../../cli/plan.ts';
import { sameText } from '../../operators/musc/records.ts';
import type { Contrast, Noised, Scored, Taken, Twins, WeightedPair } from '../../operators/musc/records.ts';
import type { WeightedPreference } from '../../recipe/index.ts';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl } from '../support/recipe.ts';
import { habits, asking, demos, digest, dropped, inputs, made, parts, records, run, sentencesOf } from '../support/musc.ts';

test.serial('8 the task is never touched; what is left keeps its order, and other seeds touch others', async (t) => {
  const noised = await records<Noised>(await run(), 'r1/corrupt');
  t.is(noised.length, 24);
  for (const { constraints, corrupted, touched } of noised) {
    t.is(touched.length, 1);
    t.is(corrupted[0], constraints[0]);
    t.deepEqual(
      corrupted,
      constraints.filter((one) => !touched.includes(one)),
    );
  }
  t.is(new Set(noised.map(({ constraints, touched }) => constraints.indexOf(touched[0]!))).size, 3);
});

test.serial(
  'the whole instruction is answered, and the corrupted one; both are trained under the whole one, with as many weights as ids',
  async (t) => {
    const ran = await run();
    const pairs = await records<Contrast>(ran, 'r1/respond');
    t.is(pairs.length, 23, 'equal answers are no pair');
    t.deepEqual(
      (await dropped(ran, 'r1/respond')).map(([reason]) => reason),
      ['equal'],
    );
    for (const { original, instruction, corrupted, chosen, rejected } of pairs) {
      t.is(instruction, original);
      t.not(corrupted, instruction);
      t.deepEqual([chosen, rejected], [`Answer to: ${instruction}`, `Answer to: ${corrupted}`]);
    }
    t.is(inputs(ran, 'r1/policy').objective, 'token-dpo');
    const learnt = await made.trained<WeightedPair>(ran, 'r1/policy');
    t.is(learnt.length, 23);
    for (const { record, chat } of learnt) {
      const { prompt, chosen, rejected } = chat as unknown as WeightedPreference;
      t.deepEqual(prompt, [{ role: 'user', content: record.instruction }]);
      for (const [side, text] of [
        [chosen, `Answer to: ${record.instruction}`],
        [rejected, `Answer to: ${record.corrupted}`],
      ] as const) {
        t.is(side.text, text);
        t.is(side.ids.length, text.split(' ').length + 1, 'and the end');
        t.deepEqual(
          side.weights,
          side.ids.map(() => 1.2),
          'each under its own instruction and under the other',
        );
        t.is(side.hash, digest(ran, 'model-policy'));
      }
    }
  },
);

test.serial(
  'another rule for the weights asks and measures nothing again; without an instruction is measured where it is asked for',
  async (t) => {
    const before = await run();
    const again = await run({ weighing: { metric: 'kl', scale: 1 } });
    t.deepEqual(again.asked, []);
    t.is(again.step('r1/measureConfidence').data.digest, before.step('r1/measureConfidence').data.digest);
    t.not(again.step('r1/weigh').data.digest, before.step('r1/weigh').data.digest);
    t.true((await records<Scored>(before, 'r1/measureConfidence')).every(({ confidence }) => confidence.chosen.none === null));
    const pmi = await records<Scored>(await run({ weighing: { metric: 'pmi' } }), 'r1/measureConfidence');
    t.true(pmi.every(({ confidence }) => confidence.rejected.none!.length === confidence.rejected.ids.length));
  },
);

test.serial(
  'instructions are taken apart and put together again, both by the same demonstrations; what is not understood goes',
  async (t) => {
    const ran = await run({}, ['queries', 'demos']);
    const taken = await records<Taken>(ran, 'r1/decompose');
    t.deepEqual(
      (await dropped(ran, 'r1/decompose')).toSorted(([, a], [, b]) => (a < b ? -1 : 1)),
      [3, 5].map((n) => ['no-constraints', sentencesOf(n).join(' ')] as const),
    );
    t.is(taken.length, 22);
    for (const { constraints, input, shots } of taken) {
      t.is(constraints.length, 4);
      t.is(shots.length, 2);
      t.true(
        shots.every((shot) => (shot.input === null) === (input === null)),
        'with a text of their own where the record has one',
      );
    }
    for (const { content } of asking(ran, '**Constraints**:')) t.is(content.match(/Demo \d+/g)!.length, 5);
    const together = asking(ran, '**Instruction**:').map(({ content }) => content);
    t.is(together.length, 44);
    const shown = (content: string) => content.match(/Demo \d+/g)!.join();
    for (const one of Map.groupBy(together, (content) => /.*##1\. (.*)/s.exec(content)![1]!.split('\n')[0]).values())
      t.is(new Set(one.map(shown)).size, 1);
    t.deepEqual(
      (await dropped(ran, 'r1/recombine')).map(([reason]) => reason),
      ['no-instruction'],
    );
    for (const { original, instruction, corrupted } of await records<Twins>(ran, 'r1/recombine')) {
      t.is(instruction, original);
      t.true(corrupted.startsWith(instruction.split('.')[0]!));
    }
  },
);

test.serial('instructions are made up, and once more for what the noise has left; of one topic only so many', async (t) => {
  const ran = await run({ selfMade: 12, perTopic: 5 }, ['queries', 'demos']);
  t.is((await records(ran, 'r1/drawShots')).length, 12);
  const twins = await records<Twins>(ran, 'r1/reinvent');
  for (const { instruction, corrupted, touched } of twins) {
    t.regex(instruction, /^Tell a short story of \d+\.$/);
    t.regex(corrupted, /^Only Tell a tale\. /);
    t.false(corrupted.includes(touched[0]!));
  }
  const shown = (ending: string) => asking(ran, ending).map(({ content }) => content.match(/(?<=\*\*Task:\*\* )Demo \d+/g)!.join());
  t.deepEqual(new Set(shown('**Constraints:**')), new Set(shown('**Task:**')));
  t.true(shown('**Task:**').every((demos) => demos.split(',').length === 4));
  const made = (await records<Contrast>(ran, 'r1/pairs')).filter(({ instruction }) => instruction.startsWith('Tell'));
  t.is(made.length, 5);
});

test.serial('a touched constraint can become another, or its opposite; what the model does not say goes', async (t) => {
  const ran = await run({ noise: { kinds: { delete: 0, substitute: 1 } } });
  const noised = await records<Noised>(ran, 'r1/corrupt');
  for (const { constraints, corrupted, touched } of noised)
    t.deepEqual(
      corrupted,
      constraints.map((one) => (touched.includes(one) ? 'Instead.' : one)),
    );
  t.deepEqual(await dropped(ran, 'r1/corrupt'), [['no-new-constraint', sentencesOf(9).join(' ')]]);
});

test.serial('a rejected answer that meets all that was left out goes on request, and so does a verdict that nobody can read', async (t) => {
  const ran = await run({ check: true });
  const reasons = Map.groupBy(await dropped(ran, 'r1/verify'), ([reason]) => reason);
  t.deepEqual([...reasons.keys()].toSorted(), ['complies', 'no-verdict']);
  const kept = await records<Contrast>(ran, 'r1/verify');
  t.is((await made.trained(ran, 'r1/policy')).length, kept.length);
});

test.serial('in a further round the model of the round before does everything, begins the training, and is its reference', async (t) => {
  const ran = await run({ rounds: 2 });
  const first = digest(ran, 'r1/policy');
  for (const path of ['r2/respond', 'r2/measureConfidence']) t.is(inputs(ran, path).with['self']!.digest, first);
  t.is(inputs(ran, 'r2/policy').from.digest, first);
  t.is(inputs(ran, 'r2/policy').reference, undefined);
  t.true((await records<WeightedPair>(ran, 'r2/weigh')).every(({ chosen }) => chosen.hash === first));
  const touched = async (path: string) => (await records<Noised>(ran, path)).map((one) => one.touched[0]);
  t.notDeepEqual(await touched('r1/corrupt'), await touched('r2/corrupt'), 'noise is drawn afresh');
});

test.serial('the arms: the same pairs by DPO; and pairs of answers to the whole instruction', async (t) => {
  habits.moody = true;
  const ran = await run({ arms: ['plain', 'uncorrupted'], sampling: { respond: { temperature: 0.6, maxTokens: 9 } } });
  habits.moody = false;
  t.is(inputs(ran, 'r1/plain/policy').objective, 'dpo');
  const plain = await made.trained<Contrast>(ran, 'r1/plain/policy');
  t.deepEqual(
    plain.map(({ record }) => record),
    await records<Contrast>(ran, 'r1/respond'),
  );
  for (const { record } of await made.trained<Contrast>(ran, 'r1/uncorrupted/policy'))
    t.deepEqual(
      new Set([record.chosen, record.rejected].map((text) => text.replace(', perhaps', ''))),
      new Set([`Answer to: ${record.instruction}`]),
    );
});

test.serial('demonstrations with a blank text are shown where there is none, and nothing is put behind an instruction', async (t) => {
  const blank = demos.map((demo) => ({ ...demo, input: demo.input ?? ' ' }));
  await writeFile(join(made.folder, 'blank.jsonl'), jsonl(blank));
  const ran = await run({ selfMade: 5 }, ['queries', 'blank']);
  for (const { input, shots } of await records<Taken>(ran, 'r1/decompose')) {
    t.is(shots.length, 2);
    t.true(shots.every((shot) => (shot.input === null) === (input === null)));
  }
  for (const { shots } of await records<Pick<Taken, 'shots'>>(ran, 'r1/drawShots'))
    t.is(shots.filter(({ input }) => input === null).length, 2);
  const poem = { instruction: 'Write a poem. Use ten words.', input: '', constraints: ['Write a poem.', 'Use ten words.'] };
  await writeFile(join(made.folder, 'poem.jsonl'), jsonl([poem]));
  const joined = await run({}, ['poem']);
  t.like((await records<Twins>(joined, 'r1/join'))[0], { instruction: poem.instruction, corrupted: 'Write a poem.' });
});

test.serial(
  'a pair whose two instructions say the same is no contrast: it is dropped and counted, whoever made them the same',
  async (t) => {
    const other = { temperature: 0.1, maxTokens: 99 }; // so that nothing is known of another test
    const sampling = { decompose: other, invent: other, corrupt: other };
    habits.alike = true;
    const given = await run({ selfMade: 6, sampling }, ['queries', 'demos']);
    for (const path of ['r1/recombine', 'r1/reinvent']) {
      const kept = await records<Twins>(given, path);
      const reasons = (await dropped(given, path)).map(([reason]) => reason);
      t.true(reasons.includes('same'), path);
      t.true(kept.length > 0 && kept.every(({ instruction, corrupted }) => !sameText(instruction, corrupted)));
    }
    const substituted = await run({ noise: { kinds: { delete: 0, substitute: 1 } }, sampling });
    t.true((await dropped(substituted, 'r1/corrupt')).some(([reason]) => reason === 'same'));
    habits.alike = false;
    const twice = { instruction: 'Write. write.', constraints: ['Write.', ' '] };
    await writeFile(join(made.folder, 'twice.jsonl'), jsonl([twice, parts[0]!]));
    t.deepEqual(
      (await dropped(await run({}, ['twice']), 'r1/join')).map(([reason]) => reason),
      ['same'],
    );
  },
);

for (const [what, parameters, data] of [
  ['taken apart and made up', { selfMade: 6, rounds: 2 }, ['queries', 'demos']],
  ['in parts, and checked', { check: true, arms: ['plain'] }, ['parts']],
  ['substituted', { noise: { kinds: { delete: 0.5, substitute: 0.5 } } }, ['parts']],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const ran = await run(parameters, data);
    const plan = await planOf('musc', made, ran.given);
    t.deepEqual(await beyond(plan, ran, made), []);
    const responding = plan.steps.find(({ path }) => path === 'r1/respond')!;
    t.is(responding.requests, 2 * responding.in!);
    t.deepEqual(
      plan.steps.flatMap(({ path, requests }) => (requests === null ? [path] : [])),
      what === 'substituted' ? ['r1/corrupt'] : what === 'in parts, and checked' ? ['r1/verify'] : [],
      'what hangs on the records is told as such',
    );
    const told = /at most [\d,]+ model calls( besides those of (\S+), which hang on the records)?, /.exec(tableOf(plan))!;
    t.is(told[2], what === 'substituted' ? 'r1/corrupt' : what === 'in parts, and checked' ? 'r1/verify' : undefined);
  });
