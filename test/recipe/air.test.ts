/** The acceptance facts of AIR (farthest-first traversal itself is in trainer/tests), and what the recipe lets one choose. */
import test from 'ava';
import { readable } from '../../operators/air/documents.ts';
import { constraintIn, duplicateIn, gradesIn, instructionIn, mergedIn, scoreIn } from '../../operators/air/parse.ts';
import type { Complex, Merged, Rated, Refined } from '../../operators/air/records.ts';
import { mergeShots } from '../../operators/air/shots.ts';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { documentQuality, lengths } from '../../schemas/recipes/air.ts';
import { constraintTypes } from '../../schemas/recipes/air-types.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { join } from 'node:path';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl, stage, type Asked, type Ran } from '../support/recipe.ts';

const names = constraintTypes.map(({ name }) => name);
const lot = (text: string, sides: number) => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;
const documents = Array.from({ length: 24 }, (_, n) => ({
  text: `Document ${n} tells of river ${n}. ${'It runs through many a valley to the sea. '.repeat(8)}`,
}));

/** What the judge does with a river that is not like the others. */
const odd = { none: 8, unreadable: 9, duplicate: 10, misspelt: 11, unchecked: 14, silent: 13 } as const;
const riverIn = (content: string) => Number(/river (\d+)/.exec(content)![1]);
const typesIn = (content: string) => [...content.matchAll(/^- (.+?): the answer /gm)].map(([, name]) => name!);
const listedIn = (content: string) => [...content.matchAll(/^- (.+)$/gm)].map(([, item]) => item!);

function guidanceSays(content: string): string {
  const river = riverIn(content);
  if (content.includes('Write one short instruction'))
    return river === 4 ? 'Hm' : `Here is an instruction:\n"Describe river ${river} briefly."`;
  if (content.startsWith('Score an instruction'))
    return river === 5
      ? 'Score: 7/5'
      : river === 7
        ? 'It is good.'
        : `It would be a 1/5 if vague.\nScore: ${river % 6 === 0 ? 3 : 4 + (river % 2)}/5`;
  if (content.includes('Rewrite the text')) return `The polished text of river ${river}.`;
  if (content.includes('Output1 is the better')) return judged(river, typesIn(content));
  if (content.startsWith('Earlier constraints'))
    return `**Reasoning**: so.\n**Answer**: ${river === odd.duplicate ? 'Yes' : 'No, it is new'}`;
  if (content.includes('how well') || content.includes('How well'))
    return river === odd.unchecked ? 'Very well.' : `${listedIn(content)[0]}\t${lot(content, 4)}`;
  if (content.endsWith('**Instruction**:')) {
    const last = content.slice(content.lastIndexOf('Instruction: '));
    return ` ${last.split('\n')[0]!.slice(13)} ${listedIn(last).join(' ')}\n\n**Note**: merged`;
  }
  return `The guidance responds to: ${content}`;
}
function judged(river: number, types: readonly string[]): string {
  const said = (type: string, constraint: string) =>
    `**Analysis**: they differ\n**Type**: ${type}\n**Constraint**: ${constraint}\n\nNote: done`;
  const used = names.length - types.length;
  if (river === odd.none) return said(types[0]!, 'None');
  if (river === odd.unreadable && used === 2) return said(types[0]!, 'Be more like Output1 and its words.');
  const type = river === odd.misspelt ? types[0]!.replace('a', 'aa') : types[0]!;
  return said(`${type[0]!.toUpperCase()}${type.slice(1)}`, `Heed the ${types[0]} for river ${river} well.`);
}
let dies = Infinity;
let answered = 0;
const answers: string[] = [];
const made = await stage(
  'air',
  {
    reply(role, _model, content) {
      if (++answered >= dies) throw new Error('the machine is gone');
      answers.push(`${role}: ${content}`);
      if (role !== 'student') return guidanceSays(content);
      const last = content.split('\n\n').at(-1)!;
      return riverIn(content) === odd.silent && content.includes('\n\n') ? 'No.' : `The student says of it: ${last}`;
    },
    place: ([text = '']) => ({ cluster: 0, distance: 0, pick: riverIn(text) < 20 ? riverIn(text) : null }),
  },
  {
    'documents.jsonl': jsonl(documents),
    'lessons.jsonl': jsonl([{ prompt: 'Score it.', reply: 'Score: 5/5' }]),
    'guidance/': '{"a": 1}',
    'student/': '{"b": 1}',
    'encoder/': '{"c": 1}',
  },
);
const source = (path: string) => ({ source: 'std.jsonl', params: { path }, folder: made.folder });
const run = (parameters: object = {}, lessons = false, models: readonly string[] = ['guidance', 'student']) =>
  made.run({
    parameters: { minimum: 1, pick: null, ...parameters },
    data: { documents: source('documents.jsonl'), ...(lessons && { lessons: source('lessons.jsonl') }) },
    models: Object.fromEntries(models.map((name) => [name, { path: join(made.folder, name) }])),
  });
const ran = await run();

interface Inputs {
  readonly from: ModelRef;
  readonly with: Readonly<Record<string, ModelRef>>;
  readonly inputs: Readonly<Record<string, ModelRef>>;
  readonly over: DatasetRef;
}
const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
const records = async <T>(of: Ran, path: string) => (await made.rows<T>(of.step(path).data)).map(({ value }) => value);
const digest = (of: Ran, path: string) => of.step(path).model.digest;
const asking = (kind: 'judge' | 'compare' | 'check' | 'merge', of = ran): Asked[] =>
  of.asked.filter(({ content }) =>
    kind === 'judge'
      ? content.includes('Output1 is the better')
      : kind === 'compare'
        ? content.startsWith('Earlier constraints')
        : kind === 'check'
          ? content.includes('How well')
          : content.endsWith('**Instruction**:'),
  );
const ofRiver = (asked: readonly Asked[], river: number) => asked.filter(({ content }) => riverIn(content) === river);
const refined = await records<Refined>(ran, 'refine');
const of = (river: number) => refined.find(({ instruction }) => riverIn(instruction) === river)!;
const usual = refined.filter(({ instruction }) => !Object.values<number>(odd).includes(riverIn(instruction)));

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
    ofRiver(asking('judge'), river).forEach(({ content }, i) => {
      t.true(content.startsWith(`Instruction: ${instruction}\n\nOutput1:\nThe polished text of river ${river}.\n\nOutput2:\n`));
      const output = i === 0 ? of(river).answer : steps[i - 1]!.output!;
      t.true(content.includes(`Output2:\n${output}\n\n`));
    });
  }
});

test('5 which constraints are understood', (t) => {
  const words = (count: number) => Array.from({ length: count }, (_, n) => `w${n}`).join(' ');
  const said = (reply: string, used: readonly string[] = [], types: readonly string[] = names) =>
    constraintIn(reply, types, used, lengths.parse({}));
  const read = (type: string, constraint: string, ...more: (readonly string[])[]) =>
    said(`**Analysis**: x\n**Type**: ${type}\n**Constraint**: ${constraint}`, ...more);
  const demanded = (constraint: string) => read('Data format', constraint);
  t.deepEqual(demanded(words(26)), { type: 'data format', constraint: words(26) });
  t.is(demanded(words(27)), 'unreadable');
  t.deepEqual(demanded(words(3)), { type: 'data format', constraint: words(3) });
  t.is(demanded(words(2)), 'unreadable', 'a constraint of two words ends the loop, as in the code');
  for (const mention of [
    'Be like Output1 in its words.',
    'Be like output 2 in words.',
    'Follow the original instruction more.',
    'Heed these constraints all.',
  ])
    t.is(demanded(mention), 'unreadable', mention);
  t.is(read('format', words(5)), 'unreadable', 'a type of one word');
  t.is(read('one two three four five six seven', words(5), [], ['one two three four five six seven']), 'unreadable');
  t.is(read('colour scheme', words(5)), 'unreadable', 'no type of the list');
  t.like(read('exclusion constraint', words(5)), { type: 'exclusion constraint' }, 'not the inclusion, two edits away');
  t.is(read('exclusion constraint', words(5), ['exclusion constraint']), 'unreadable');
  t.is(read('data format', words(5), ['data format']), 'unreadable', 'one that was used');
  t.like(read('**Tone and stile**', words(5)), { type: 'tone and style' });
  t.like(said(`**Selected Type**: Target audience\n**Constraint:** "Write it for nurses."`), {
    type: 'target audience',
    constraint: 'Write it for nurses.',
  });
  t.like(demanded('Give the year of each.\nNote: this is short.'), { constraint: 'Give the year of each.' }, 'notes are cut');
  for (const none of ['None', 'none.', '**None**', 'None of them is missing']) t.is(demanded(none), 'none', none);
  for (const reply of ['', 'Give the year of each.', '**Type**: data format']) t.is(said(reply), 'unreadable', reply);
});

test('what else the guidance must have said to be understood', (t) => {
  t.is(instructionIn('Here is an instruction:\n\n"Describe a river."\n'), 'Describe a river.');
  t.is(instructionIn('Describe a river.\nThis instruction is short.\nOk'), 'Describe a river.');
  for (const reply of ['Hm', '', 'Here is an instruction']) t.is(instructionIn(reply), undefined, reply);
  t.deepEqual(
    ['**Answer**: Yes', '**Answer**: No', 'so\n**Answer**: there is no such one', '**Answer**: perhaps', 'No.', ''].map(duplicateIn),
    [true, false, false, true, true, true],
  );
  t.deepEqual(gradesIn('one\t3\n\ntwo\t 0', 2), [3, 0]);
  for (const reply of ['one\t3', 'one 3\ntwo 0', 'one\t4\ntwo\t1', '']) t.is(gradesIn(reply, 2), undefined, reply);
  t.is(mergedIn(' Describe a river.\n\n**Note**: merged'), 'Describe a river.');
});

test('6 instructions of score 4 and 5 are refined; 3, 7 of 5 and none at all are not', async (t) => {
  t.deepEqual(['Score: 4/5', '**Score**: 5/5.', '1/5? No.\nScore: 0/5'].map(scoreIn), [4, 5, 0]);
  for (const reply of ['Score: 7/5', 'Score: 4', 'Score: four/5', '5/5', '']) t.is(scoreIn(reply), undefined, reply);
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
  dies = answered + 46;
  await t.throwsAsync(run(other));
  dies = Infinity;
  const cut = answers.length;
  t.is(cut - known, 45);
  const judgedBefore = new Set(
    answers
      .slice(known, cut)
      .filter((one) => one.includes('Output1 is the better'))
      .map(riverIn),
  );
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

test('documents of a length that can be read, not full of signs or repetitions', (t) => {
  const judge = (text: string, quality: object | null = {}) => {
    const params = { words: { min: 5, max: 60 }, quality: quality && documentQuality.parse(quality) };
    const outcome = readable.run({ text }, undefined as never, params) as { readonly dropped?: string };
    return outcome.dropped;
  };
  const plain = 'A river runs to the sea.';
  t.is(judge(plain), undefined);
  t.is(judge('Too short.'), 'short');
  t.is(judge('word '.repeat(61)), 'long');
  t.is(judge('河水流入大海'), undefined, 'a Han character is a word');
  t.is(judge('-#*|+=><~_%& a b c d e'), 'symbols');
  t.is(judge(`${plain}\n`.repeat(3)), 'repeated-lines');
  t.is(judge(`${plain} ${'!'.repeat(11)}`), 'repeated-character');
  t.is(judge(`${plain} ${'!'.repeat(10)}`), undefined);
  t.is(judge(`${plain}\n`.repeat(3), null), undefined);
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
