/** The acceptance facts of AIR (farthest-first traversal itself is in trainer/tests), and what the recipe lets one choose. */
import test from 'ava';
import { parseScore } from '../../operators/air/parse.ts';
import type { Complex, Merged, Rated, Refined } from '../../operators/air/records.ts';
import { mergeShots } from '../../operators/air/shots.ts';
import { checkIn } from '../support/judge-check.ts';
import { beyond, planOf } from '../support/planned.ts';
import {
  answers,
  asking,
  digest,
  documents,
  inputs,
  listedIn,
  machine,
  made,
  names,
  odd,
  of,
  ofRiver,
  ran,
  records,
  refined,
  riverIn,
  run,
  typesIn,
  usual,
} from '../support/air.ts';

test('1 five iterations at most; a document whose constraint is empty, unreadable or a duplicate has no further judge call', (t) => {
  t.true(usual.length > 5);
  for (const { instruction, steps, ended } of usual) {
    t.is(ofRiver(asking('judge'), riverIn(instruction)).length, 5);
    t.deepEqual([steps.length, ended], [5, 'iterations']);
  }
  for (const [river, judges, ended] of [
    [odd.none, 1, 'none'],
    [odd.unreadable, 3, 'unreadable'],
    [odd.duplicate, 2, 'duplicate'],
  ] as const) {
    t.is(ofRiver(asking('judge'), river).length, judges);
    t.deepEqual([of(river).steps.length, of(river).ended], [judges - 1, ended]);
    t.truthy(of(river).said, 'what ended it can be read');
  }
});

test('2 the judge lists all types that the document has not had, in any order, and removes one whose name it misspells', (t) => {
  for (const { instruction, steps } of refined) {
    const lists = ofRiver(asking('judge'), riverIn(instruction)).map(({ content }) => typesIn(content));
    lists.forEach((list, i) => {
      const used = steps.slice(0, i).map(({ type }) => type);
      t.deepEqual(list.toSorted(), names.filter((name) => !used.includes(name)).toSorted());
    });
  }
  t.is(of(odd.misspelt).steps.length, 5);
  const first = asking('judge').map(({ content }) => typesIn(content).join());
  t.true(new Set(first).size > 3, 'the order is drawn');
  t.is(names.length, 12);
});

test('3 a first constraint is compared with nothing, every later one once with all before it', (t) => {
  for (const { instruction, steps } of refined) {
    const river = riverIn(instruction);
    const compared = ofRiver(asking('compare'), river).map(({ content }) => listedIn(content));
    const found = steps.map(({ constraint }) => constraint);
    const later = river === odd.duplicate ? 1 : found.length - 1;
    t.is(compared.length, Math.max(0, later));
    if (river !== odd.duplicate)
      t.deepEqual(
        compared,
        found.slice(1).map((one, i) => [...found.slice(0, i + 1), one]),
      );
  }
});

test('4 the student is told the instruction and every constraint so far, a blank line between; the judge sees the initial one alone', (t) => {
  for (const { instruction, steps } of usual) {
    const river = riverIn(instruction);
    const told = ofRiver(ran.asked, river).flatMap(({ role, content }) => (role === 'student' ? content : []));
    t.deepEqual(
      told,
      [0, 1, 2, 3, 4, 5].map((n) => [instruction, ...steps.slice(0, n).map(({ constraint }) => constraint)].join('\n\n')),
    );
    const replies = ofRiver(ran.asked, river).flatMap(({ role, reply }) => (role === 'student' ? reply : []));
    t.deepEqual([of(river).answer, ...steps.map(({ output }) => output)], replies);
    ofRiver(asking('judge'), river).forEach(({ content }, i) => {
      const output = i === 0 ? of(river).answer : steps[i - 1]!.output!;
      t.true(content.endsWith(`Instruction: ${instruction}\n\nOutput1:\nThe polished text of river ${river}.\n\nOutput2:\n${output}`));
    });
  }
});

test('6 instructions of score 4 and 5 are refined; 3, 7 of 5 and none at all are not', async (t) => {
  t.deepEqual(['Score: 4/5', '**Score**: 5/5.', '1/5? No.\nScore: 0/5'].map(parseScore), [4, 5, 0]);
  for (const reply of ['Score: 7/5', 'Score: 4', 'Score: four/5', '5/5', '']) t.is(parseScore(reply), undefined, reply);
  const scores = new Set((await records<Rated>(ran, 'rate')).map(({ score }) => score));
  t.deepEqual(
    [...scores].toSorted((a, b) => a - b),
    [3, 4, 5],
  );
  t.deepEqual(
    refined.map(({ instruction }) => riverIn(instruction)),
    documents.flatMap((_, n) => (n % 6 !== 0 && n !== 4 && n !== 5 && n !== 7 ? n : [])),
  );
});

test.serial('7 documents that lie far apart are selected in the space of the encoder, and no other is read by any model', async (t) => {
  const picked = await run({ pick: 20 }, false, ['guidance', 'student', 'encoder']);
  t.is((await records(picked, 'diverse')).length, 20);
  t.is(inputs(picked, 'diverse').inputs['encoder']!.digest, digest(picked, 'model-encoder'));
  t.is(Math.max(...(await records<Refined>(picked, 'refine')).map(({ instruction }) => riverIn(instruction))), 19);
  t.is(inputs(await run({ pick: 20 }), 'diverse').inputs['encoder']!.digest, digest(ran, 'model-student'), 'by default the student');
});

test('8 the student only answers, and is what is trained; all else is asked of the guidance, the final answer too', async (t) => {
  const [guidance, student] = [digest(ran, 'model-guidance'), digest(ran, 'model-student')];
  for (const { role, model, content } of ran.asked) {
    t.is(model, role === 'student' ? student : guidance);
    if (role === 'student') t.regex(content, /^Describe river \d+ briefly\.(\n\nHeed the .+)*$/);
  }
  t.is(inputs(ran, 'student').from.digest, student);
  const data = await records<Complex>(ran, 'level-5');
  t.true(data.length > 5);
  for (const { instruction, response, by } of data) t.deepEqual([response, by], [`The guidance responds to: ${instruction}`, 'guidance']);
});

test('a document is asked 33 questions at most, and the student learns what the guidance says to the merged instruction', async (t) => {
  const every = await run({ levels: [1, 2, 3, 4, 5], iterations: 5, sampling: { merge: { temperature: 0.3, maxTokens: 99 } } });
  const river = riverIn(usual[0]!.instruction);
  const before = ofRiver(ran.asked, river).filter(({ content }) => !content.endsWith('**Instruction**:'));
  t.is(before.length - 1, 23, 'all but the merge and the response of its one level');
  t.is(ofRiver(every.asked, river).length, 10);
  for (const level of [1, 2, 3, 4, 5]) {
    const merged = await records<Complex>(every, `level-${level}`);
    t.is(merged.length, refined.filter(({ steps }) => steps.length >= level).length);
    for (const { initial, constraints, document } of merged) {
      const { steps, polished } = of(riverIn(initial));
      t.deepEqual(
        constraints.toSorted(),
        steps
          .slice(0, level)
          .map(({ constraint }) => constraint)
          .toSorted(),
      );
      t.is(document, polished);
    }
  }
  const learnt = await made.trained<Complex>(every, 'student');
  t.is(learnt.length, (await records(every, 'levels')).length);
  for (const { record, chat } of learnt)
    t.deepEqual(chat.messages, [
      { role: 'user', content: record.instruction },
      { role: 'assistant', content: `The guidance responds to: ${record.instruction}` },
    ]);
});

test('a merge is shown three examples of as many constraints as it has itself, and its constraints in any order', async (t) => {
  const merges = asking('merge');
  for (const { content } of merges) {
    const shown = mergeShots.filter((shot) => content.includes(`**Instruction**: ${shot.merged(5)}`));
    t.is(shown.length, 3);
    for (const { constraints } of shown) t.true(constraints.every((one) => content.includes(`- ${one}`)));
  }
  t.true(new Set(merges.map(({ content }) => mergeShots.findIndex(({ instruction }) => content.includes(instruction)))).size > 1);
  const orders = (await records<Merged>(ran, 'level-5')).map(({ initial, constraints }) =>
    constraints.map((one) => of(riverIn(initial)).steps.findIndex(({ constraint }) => constraint === one)).join(),
  );
  t.true(new Set(orders).size > 3);
  for (const shot of mergeShots) {
    t.is(shot.constraints.length, 5);
    t.true(shot.merged(2).length < shot.merged(3).length);
  }
});

test('a check is of the initial instruction with the constraint that was added last, and of the answer to it', (t) => {
  for (const { instruction, steps } of usual)
    t.deepEqual(
      ofRiver(asking('check'), riverIn(instruction)).map(({ content }) => [content.split('\n\nHow well')[0], listedIn(content)]),
      steps.map(({ constraint, output }) => [`Instruction: ${instruction}\n\nAnswer:\n${output}`, [constraint]]),
    );
});

test('a check that cannot be read is no score; an answer that is too short ends the document, and its constraint counts', (t) => {
  t.true(of(odd.unchecked).steps.every(({ satisfied, output }) => satisfied === null && output !== null));
  t.is(of(odd.unchecked).steps.length, 5);
  t.like(of(odd.silent), { ended: 'no-answer', said: 'No.' });
  t.deepEqual(
    of(odd.silent).steps.map(({ output, satisfied }) => [output, satisfied]),
    [[null, null]],
  );
  t.true(usual.every(({ steps }) => steps.every(({ satisfied }) => satisfied !== null)));
});

test.serial('hardOnly takes the constraints that the student still missed, and a document without enough of them gives none', async (t) => {
  const hard = await run({ hardOnly: true, levels: [2] });
  const missed = ({ steps }: Refined) =>
    steps.filter(({ satisfied }) => satisfied !== null && satisfied < 3).map(({ constraint }) => constraint);
  const data = await records<Complex>(hard, 'level-2');
  t.is(data.length, refined.filter((one) => missed(one).length >= 2).length);
  for (const { initial, constraints } of data)
    t.deepEqual(
      constraints.toSorted(),
      missed(of(riverIn(initial)))
        .slice(0, 2)
        .toSorted(),
    );
  t.true(
    data.some(
      ({ initial, constraints }) =>
        !of(riverIn(initial))
          .steps.slice(0, 2)
          .every(({ constraint }) => constraints.includes(constraint)),
    ),
  );
  t.is(ofRiver(asking('judge', hard), 1).length, 0, 'nothing is judged again');
});

test.serial('the arms learn from the same documents: without constraints, or from the documents in place of the guidance', async (t) => {
  const arms = await run({ arms: ['initial', 'document'] });
  const data = await records<Complex>(arms, 'level-5');
  const initial = await made.trained<Complex>(arms, 'initial/student');
  t.deepEqual(
    initial.map(({ chat }) => chat.messages.map(({ content }) => content)),
    data.map((one) => [one.initial, `The guidance responds to: ${one.initial}`]),
  );
  const document = await made.trained<Complex>(arms, 'document/student');
  t.deepEqual(
    document.map(({ chat }) => chat.messages.map(({ content }) => content)),
    data.map((one) => [one.instruction, one.document]),
  );
  for (const arm of ['initial', 'document']) t.is(inputs(arms, `${arm}/student`).from.digest, digest(ran, 'model-student'));
});

test.serial('a guidance model is taught its work first, where lessons are given', async (t) => {
  const taught = await run({}, true);
  const guidance = digest(taught, 'guidance');
  t.is(inputs(taught, 'guidance').from.digest, digest(ran, 'model-guidance'));
  for (const path of ['rate', 'refine', 'respond-5']) t.is(inputs(taught, path).with['guidance']!.digest, guidance);
  const [lesson] = await made.trained(taught, 'guidance');
  t.deepEqual(
    lesson!.chat.messages.map(({ content }) => content),
    ['Score it.', 'Score: 5/5'],
  );
});

test.serial('killed half-way through its documents, each goes on where it was: nothing that was answered is asked again', async (t) => {
  const other = { iterations: 4, levels: [4] }; // so that nothing is known of another test
  const known = answers.length;
  /** Documents whose answer was judged, of which most go on to be refined. */
  const judged = (to?: number) =>
    new Set(
      answers
        .slice(known, to)
        .filter((one) => one.includes('Output1 is the better'))
        .map(riverIn),
    );
  machine.dies = () => judged().size >= 5;
  await t.throwsAsync(run(other));
  machine.dies = () => false;
  const cut = answers.length;
  const judgedBefore = judged(cut);
  const resumed = await run(other);
  t.true(
    answers.slice(cut).some((one) => one.includes('Output1 is the better') && judgedBefore.has(riverIn(one))),
    'some documents were in the midst of their loop',
  );
  const undisturbed = refined.map(({ steps }) => steps.slice(0, 4));
  t.deepEqual(
    (await records<Refined>(resumed, 'refine')).map(({ steps }) => steps.map(({ type }) => type).length),
    undisturbed.map(({ length }) => length),
  );
  t.is(new Set(answers.slice(known)).size, answers.length - known);
});

for (const [what, parameters] of [
  ['as in the paper', { levels: [5] }],
  ['two levels, both arms', { levels: [2, 4], arms: ['initial', 'document'], pick: 20 }],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const one = await run(parameters);
    const plan = await planOf('air', made, one.given);
    t.deepEqual(await beyond(plan, one, made), []);
    const refining = plan.steps.find(({ path }) => path === 'refine')!;
    t.is(refining.requests, 21 * refining.in!);
  });

test.serial('the rating is measured on instructions and on documents in their place', async (t) => {
  const one = await run({ judgeCheck: { pairs: 5 } });
  const { real, shuffled, judges, metrics, beyond } = await checkIn('air', made, one);
  t.deepEqual(beyond, []);
  t.deepEqual([real.length, shuffled.length], [5, 5]);
  t.true(shuffled.every(({ instruction, text }) => real.some((pair) => pair['text'] === instruction) && instruction !== text));
  t.deepEqual(judges, [inputs(one, 'rate').with['guidance']!]);
  t.is(metrics['real'], 5);
  t.deepEqual(one.results, ran.results);
});
