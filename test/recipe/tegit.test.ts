/** The acceptance facts of TeGit, and what the recipe lets one choose. */
import test from 'ava';
import { coverage, parseFields, marked, parseValid } from '../../operators/tegit/parse.ts';
import type { Grounded, Source, Task } from '../../operators/tegit/records.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { Output } from '../../schemas/store.ts';
import { checkIn } from '../support/judge-check.ts';
import { beyond, planOf } from '../support/planned.ts';
import type { Ran } from '../support/recipe.ts';
import { documents, made, numberIn, odd, passage, ran, run, source } from '../support/tegit.ts';

interface Inputs {
  readonly from: ModelRef;
  readonly data: { readonly digest: string };
  readonly with: Readonly<Record<string, ModelRef>>;
}
const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
const digest = (of: Ran, path: string) => of.step(path).model.digest;
const records = <T>(of: Ran, path: string) => made.rows<T>(of.step(path).data);
async function outputOf(of: Ran, path: string): Promise<Output> {
  const { resolve } = await import('../../steps/resolve.ts');
  const { services, context } = made.bench;
  const { stepKey } = await resolve(of.step(path).call, context, await services.registry([]));
  return (await services.store.output(stepKey))!;
}
const unseen = documents.slice(2); // two are in the meta-set

test('D1 one call of the wrapper gives instruction, input and output; the input alone may be empty', async (t) => {
  t.is(ran.asked.length, unseen.length - 1, 'but for the one that is too long to be asked');
  t.is(new Set(ran.asked.map(({ content }) => content)).size, ran.asked.length);
  const tasks = await records<Grounded>(ran, 'wrap');
  for (const { value } of tasks) {
    t.regex(value.instruction, /\S/);
    t.regex(value.output, /\S/);
  }
  t.deepEqual(
    tasks.flatMap(({ value }) => value.input || []),
    ['River 8 is 8 miles long, and wet.'],
  );
});

test('D2 a reply that is not three fields, echoes the request or has a marker in a field is dropped, each with its reason', async (t) => {
  const { droppedRecords } = await outputOf(ran, 'wrap');
  const dropped = await made.rows<{ reason: string; evidence: string; value: Source }>(droppedRecords);
  t.deepEqual(Object.fromEntries(dropped.map(({ value: { reason, value } }) => [numberIn(value.text), reason])), {
    [odd.preamble]: 'no-fields',
    [odd.echo]: 'echo',
    [odd.marker]: 'marker',
    [odd.empty]: 'empty-field',
    [odd.nearEcho]: 'echo',
    [odd.echoed]: 'echo',
    [odd.long]: 'too-long',
  });
});

test('what three fields are', (t) => {
  const fields = { instruction: 'Do it.', input: '', output: 'Done, "all" of it.' };
  t.deepEqual(parseFields(marked(fields)), fields);
  t.deepEqual(parseFields('#Instruction#: "Do it."\n#input#: None\n#output#: Done.\n'), { ...fields, output: 'Done.' });
  t.deepEqual(parseFields('#instruction#: Do it.#input#:two\nlines#output#:a\n\nb'), {
    instruction: 'Do it.',
    input: 'two\nlines',
    output: 'a\n\nb',
  });
  for (const [reply, why] of [
    ['', 'no-fields'],
    ['#instruction#: Do it.\n#output#: Done.', 'no-fields'],
    ['#input#:\n#instruction#: Do it.\n#output#: Done.', 'no-fields'],
    ['Sure. #instruction#: a #input#: #output#: b', 'no-fields'],
    ['#instruction#: a #instruction#: a #input#: #output#: b', 'marker'],
    ['#instruction#: a #input#: b # output # #output#: c', 'marker'],
    ['#instruction#:\n#input#: a\n#output#: b', 'empty-field'],
    ['#instruction#: a\n#input#: b\n#output#: ', 'empty-field'],
  ] as const)
    t.is(parseFields(reply), why, reply);
  t.deepEqual(['Valid: Yes', '**Valid**: no.', 'Valid: No, or rather\nValid: yes', 'Yes', ''].map(parseValid), [
    true,
    false,
    true,
    undefined,
    undefined,
  ]);
});

test('D3 wrapper and student begin at the base; the wrapper learns the meta-set and the student the tasks, and no document is in both', async (t) => {
  const base = digest(ran, 'model-base');
  t.deepEqual([inputs(ran, 'wrapper').from.digest, inputs(ran, 'student').from.digest], [base, base]);
  t.is(inputs(ran, 'wrapper').data.digest, ran.step('data-meta').data.digest);
  t.is(inputs(ran, 'student').data.digest, ran.step('tasks').data.digest);
  t.is(inputs(ran, 'wrap').with['wrapper']!.digest, digest(ran, 'wrapper'));
  const texts = (await records<Source>(ran, 'unseen')).map(({ value }) => value.text);
  t.deepEqual(
    texts,
    unseen.map(({ text }) => text),
  );
  for (const { record, chat } of await made.trained<Task>(ran, 'wrapper')) {
    t.is(chat.messages.at(-1)!.content, marked(record));
    t.true(chat.messages[0]!.content.endsWith(record.text));
  }
  for (const { record, chat } of await made.trained<Task>(ran, 'student'))
    t.deepEqual(
      chat.messages.map(({ content }) => content),
      [[record.instruction, record.input].filter(Boolean).join('\n\n'), record.output],
    );
});

test.serial('settings of the wrapper are none of the student', async (t) => {
  const other = await run({ wrapperSft: { learningRate: 3e-5 } });
  const trained = other.trainings.map(({ call, spec }) => [call.path, spec.learningRate.from]);
  t.deepEqual(trained, [['wrapper', 3e-5]], 'the student is trained as before');
});

test('the wrapper is asked as it was trained', async (t) => {
  const { record, chat } = (await made.trained<Task>(ran, 'wrapper'))[0]!;
  const request = (content: string, text: string) => content.replace(text, '');
  const asked = ran.asked[0]!.content;
  t.is(request(asked, passage(numberIn(asked)).text), request(chat.messages[0]!.content, record.text));
});

test('D4 every task keeps its document, and says how much of its output stands there', async (t) => {
  const ids = new Map((await records<Source>(ran, 'unseen')).map(({ id, value }) => [id, value.text]));
  for (const { from, value } of await records<Grounded>(ran, 'wrap')) {
    t.is(ids.get(from[0]!), value.text);
    t.is(value.grounding, coverage(value.output, value.text));
    t.true(value.grounding > 0.5 && value.grounding <= 1);
  }
  t.is(coverage('a b c d', 'x a b c y'), 0.5);
  t.is(coverage('nothing of it', 'here'), 0);
  t.is(coverage('here', 'it is here'), 1);
});

test.serial('D5 what goes in is kept or dropped for a reason; the tasks of a document are the same wherever it stands', async (t) => {
  const { in: entering, kept, dropped } = await outputOf(ran, 'wrap');
  t.is(entering, kept + Object.values(dropped).reduce((sum, count) => sum + count, 0));
  t.is(entering, unseen.length);
  const reversed = await run({}, undefined, undefined, 'reversed.jsonl');
  const byDocument = async (of: Ran) => (await records<Grounded>(of, 'wrap')).map(({ id, from }) => `${from[0]} ${id}`).toSorted();
  t.deepEqual(await byDocument(reversed), await byDocument(ran));
});

test.serial('D6 the same wrapper and documents ask nothing again', async (t) => {
  const again = await run();
  t.deepEqual(again.asked, []);
  t.is(again.step('wrap').data.digest, ran.step('wrap').data.digest);
});

test('D7 a document that does not fit the model beside its reply is dropped as too long, and no other with it', async (t) => {
  t.is((await outputOf(ran, 'wrap')).dropped['too-long'], 1); // that it is found out before it is sent: test/inference/client.test.ts
  t.false(ran.asked.some(({ content }) => numberIn(content) === odd.long));
});

test.serial('a task whose instruction was there before goes', async (t) => {
  const instructions = async (of: Ran, path: string) => (await records<Task>(of, path)).map(({ value }) => value.instruction);
  const wrapped = await instructions(ran, 'wrap');
  t.is((await instructions(ran, 'tasks')).length, new Set(wrapped).size);
  t.true(new Set(wrapped).size < wrapped.length);
  const all = await run({ nearDuplicates: null });
  t.is((await made.trained(all, 'student')).length, wrapped.length);
});

test.serial('a teacher can make the meta-set; what it says is read as strictly, and the wrapper sees none of its documents', async (t) => {
  const taught = await run({}, { metaDocuments: source('meta-documents.jsonl') }, ['base', 'teacher']);
  t.is(inputs(taught, 'teacher/design').with['teacher']!.digest, digest(taught, 'model-teacher'));
  const omega = await records<Grounded>(taught, 'teacher/design');
  t.deepEqual(
    omega.map(({ value }) => numberIn(value.text)),
    [100, 101],
  );
  t.is(inputs(taught, 'wrapper').data.digest, taught.step('teacher/design').data.digest);
  const seen = (await records<Source>(taught, 'unseen')).map(({ value }) => numberIn(value.text));
  t.false(seen.includes(odd.preamble), 'not those either of which it made no task');
});

test.serial('a discriminator drops what it finds unsound, and what it says nothing of that can be read', async (t) => {
  const judged = await run({ discriminate: true }, undefined, ['base', 'discriminator']);
  t.is(inputs(judged, 'discriminate').with['discriminator']!.digest, digest(judged, 'model-discriminator'));
  t.like((await outputOf(judged, 'discriminate')).dropped, { 'not-valid': 5, 'no-verdict': 1 });
  const bare = await run({ discriminate: true });
  t.is(inputs(bare, 'discriminate').with['discriminator']!.digest, digest(bare, 'model-base'));
});

test.serial('the control learns the same instructions, with whole documents as outputs', async (t) => {
  const arms = await run({ arms: ['text'] });
  const texts = await made.trained<Task>(arms, 'text/student');
  t.deepEqual(
    texts.map(({ record }) => record),
    (await made.trained<Task>(arms, 'student')).map(({ record }) => record),
  );
  for (const { record, chat } of texts) t.is(chat.messages.at(-1)!.content, record.text);
});

for (const [what, parameters, data, models] of [
  ['from a file', { arms: ['text'] }, undefined, ['base']],
  ['from a teacher, judged', { discriminate: true }, { metaDocuments: source('meta-documents.jsonl') }, ['base', 'teacher']],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const one = await run(parameters, data, models);
    t.deepEqual(await beyond(await planOf('tegit', made, one.given), one, made), []);
  });

test.serial('a discriminator is measured on the tasks of the meta-set, with their outputs and with others', async (t) => {
  const one = await run({ discriminate: true, judgeCheck: { pairs: 4 } });
  const { real, shuffled, judges, metrics, beyond } = await checkIn('tegit', made, one);
  t.deepEqual(beyond, []);
  t.deepEqual([real.length, shuffled.length], [4, 4]);
  t.true(
    shuffled.every(({ output, instruction }) => real.every((task) => task['instruction'] !== instruction || task['output'] !== output)),
  );
  t.is(judges.length, 1);
  t.like(metrics, { real: 4, shuffled: 4 });
  t.true(metrics['auc']! > 0 && !('low' in metrics));
  t.false((await run({ judgeCheck: { pairs: 4 } })).performed.some(({ call }) => call.path.includes('check')));
});
