/** The acceptance facts of CRAB (that of lengths, and those of many pairs, are in test/operators/crab.test.ts), and what one can choose. */
import test from 'ava';
import { annotated } from '../../operators/crab/index.ts';
import { ruleTypes } from '../../operators/crab/derive.ts';
import type { Composed, Tidied } from '../../operators/crab/records.ts';
import { rougeL } from '../../operators/crab/similar.ts';
import { meets } from '../../operators/rules/index.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import type { CrabParameters } from '../../schemas/recipes/crab.ts';
import { checkIn } from '../support/judge-check.ts';
import { beyond, planOf } from '../support/planned.ts';
import { rec, rows } from '../support/reduce.ts';
import {
  constraintIn,
  described,
  digest,
  dropped,
  inputs,
  isCheck,
  made,
  odd,
  of,
  pairs,
  part,
  ran,
  records,
  refinedOf,
  replaced,
  riverIn,
  run,
  said,
  typesOf,
} from '../support/crab.ts';

const responses = new Set(pairs.map(({ response }) => response));
const isRule = (type: string) => (ruleTypes as readonly string[]).includes(type);
/** What the annotator names of a usual pair and the check leaves, twins still in it. */
const named = (n: number): readonly string[] =>
  [...Object.entries(said.whole(n)), ...Object.entries(said.part(n))].flatMap(([type, text]) =>
    text === 'NULL' || isRule(type) || type === 'emphasis' || (type === 'item_format' && !pairs[n]!.response.includes('-')) ? [] : [text],
  );

test('1 no model is asked for a response: the annotator is asked about pairs, and what is learnt are the bytes of the pairs', async (t) => {
  for (const { role, content } of ran.asked) {
    t.is(role, 'annotator');
    t.true([...responses].some((response) => content.includes(response)));
  }
  t.deepEqual(
    described.map(({ response }) => response),
    pairs.filter((_, n) => n !== odd.short).map(({ response }) => response),
  );
  const forward = await part<Composed>(ran, 'forward');
  t.true(forward.length > 10);
  for (const { messages } of forward)
    for (const { role, content } of messages) if (role === 'assistant') t.true(responses.has(content), content);
  t.true(forward.some(({ messages }) => messages.at(-1)!.content.endsWith('\n')));
});

test('2 a pair takes three requests and one for each constraint that the annotator named, none for one that a rule made', (t) => {
  const ofRiver = Map.groupBy(ran.asked, (one) => riverIn(isCheck(one) ? constraintIn(one.content) : one.content));
  t.is(ofRiver.size, 59);
  for (const [river, asked] of ofRiver) {
    t.is(asked.filter((one) => !isCheck(one)).length, 3);
    const checked = asked.filter(isCheck).map(({ content }) => constraintIn(content));
    const expected =
      river === odd.unreadable ? named(river).filter((text) => Object.values<string>(said.part(river)).includes(text)) : named(river);
    t.deepEqual(checked.toSorted(), expected.toSorted());
  }
});

test('4 a constraint goes, is replaced or stays by its verdict; a verdict that nobody can read leaves it, and is noted', (t) => {
  const { constraints, unread } = of(11);
  const texts = constraints.map(({ text }) => text);
  t.false(texts.some((text) => text.startsWith('Remove')));
  t.false(texts.some((text) => text.startsWith('Replace')));
  t.is(constraints.find(({ type }) => type === 'literary_devices')!.text, replaced(11));
  t.is(constraints.find(({ type }) => type === 'grammar')!.text, said.whole(11).grammar);
  t.is(constraints.find(({ type }) => type === 'rhythm')!.text, said.part(11).rhythm, 'a type of the annotator’s own');
  t.deepEqual(unread, ['check']);
});

test('5 no two constraints of a pair say the same, and those that the refined instruction says too are counted', (t) => {
  for (const { constraints } of described)
    for (const [n, one] of constraints.entries())
      for (const other of constraints.slice(n + 1)) t.true(rougeL(one.text, other.text) <= 0.6, `${one.text} ${other.text}`);
  t.true(rougeL(said.whole(11).writing_style, said.part(11).paragraphs) > 0.6);
  t.is(typesOf(of(11)).filter((type) => ['writing_style', 'paragraphs'].includes(type)).length, 1);
  t.deepEqual([of(odd.overlapping).overlap, of(11).overlap], [1, 0]);
});

test('6 the rows of both objectives and the general ones are mixed into one training; no pair is in two rows', async (t) => {
  const all = await run({ generalRows: 12 }, ['pairs', 'general']);
  const [forward, reverse] = [await part<Composed>(all, 'forward'), await part<Composed>(all, 'reverse')];
  const rows = forward.length + reverse.length;
  t.is(forward.length, Math.ceil(0.7 * rows));
  t.true(reverse.length > 5);
  const used = [...forward, ...reverse].flatMap(({ pairs }) => pairs);
  t.is(new Set(used).size, used.length);
  t.is(all.trainings.length, 1);
  const learnt = await made.trained<{ part: string; id?: number }>(all, 'sft');
  const counts = Map.groupBy(learnt, ({ record }) => record.part);
  t.deepEqual(Object.fromEntries([...counts].map(([name, some]) => [name, some.length])), {
    forward: forward.length,
    reverse: reverse.length,
    general: 12,
  });
  for (const { chat } of learnt) t.true(Object.keys(chat).every((key) => ['messages', 'weight'].includes(key)));
  const { counts: few, generalRows } = recipeSchemas['crab']!.parameters.parse({}) as CrabParameters;
  t.deepEqual([few.total, few.forwardShare, few.perSource, generalRows], [13_500, 0.7, 10_000, 53_000]);
});

test('7 a reverse row teaches constraints or the refined instruction, never a response; a forward row just the response', async (t) => {
  const byResponse = new Map(described.map((one) => [one.response, one]));
  for (const { messages } of await part<Composed>(ran, 'reverse')) {
    for (const [n, { role, content }] of messages.entries()) {
      if (role === 'user') continue;
      const asked = messages[n - 1]!.content;
      const pair = [...byResponse.values()].find(({ response }) => asked.includes(response))!;
      t.false([...responses].some((response) => content.includes(response)));
      const known = [...pair.constraints.map(({ text }) => text), pair.refined ?? ''].flatMap((text) => [
        text,
        JSON.stringify(text).slice(1, -1),
      ]);
      let rest = content;
      for (const text of known.filter((one) => one !== '').toSorted((a, b) => b.length - a.length)) rest = rest.replaceAll(text, '');
      t.regex(
        rest,
        /^[\s\d.\-#*>[\]<{}",:]*(?:(?:Refined instruction|Constraints|refined_instruction|constraints)[\s\d.\-#*>[\]<{}",:]*)+$/,
      );
    }
  }
  for (const { messages } of await part<Composed>(ran, 'forward')) t.true(responses.has(messages.at(-1)!.content));
});

test.serial(
  '8 every rule is true of its response; the published ones are not, and then a person is asked before anything is trained',
  async (t) => {
    for (const { response, constraints } of await records<Tidied>(ran, 'verify'))
      for (const { rule } of constraints) if (rule) t.true(await meets(response, rule));
    t.deepEqual(ran.short, []);
    t.is((await records(ran, 'verify')).length, described.length);
    const published = await run({ rules: 'reference' });
    const reasons = await dropped(published, 'verify');
    t.is(reasons.length, 58, 'all that have a word of more than three characters');
    for (const { reason, evidence } of reasons) {
      t.is(reason, 'rule-false');
      t.regex(evidence, /at least 10 characters/);
    }
    t.is(published.short[0]!.path, 'rules-hold');
    const replication = await run({ rules: 'reference', verify: false });
    t.deepEqual(replication.short, []);
    t.true((await part(replication, 'forward')).length > 10);
  },
);

test('a reply that cannot be read leaves its part out, and the pair stays; JSON may stand in a fence or between other text', (t) => {
  t.deepEqual(of(odd.unreadable).unread, ['whole']);
  t.false(typesOf(of(odd.unreadable)).includes('writing_style'));
  t.true(typesOf(of(odd.unreadable)).includes('order'));
  t.true(typesOf(of(odd.blocks)).includes('order'));
  t.like(of(odd.unrefined), { refined: null, unread: ['refine', 'check'] });
  t.is(of(11).refined, refinedOf(11));
});

test('a mark that the response lacks is not demanded of it, and the rules keep their own types', (t) => {
  t.false(typesOf(of(12)).includes('emphasis'));
  t.deepEqual([typesOf(of(12)).includes('item_format'), typesOf(of(11)).includes('item_format')], [true, false]);
  for (const { constraints } of described) for (const { type, rule } of constraints) t.is(rule !== null, isRule(type), type);
});

test('what the pairs have is measured: constraints of both kinds, refined instructions, and replies that cannot be read', async (t) => {
  const some = [odd.unreadable, odd.unrefined, 11].map(of);
  const measured = await annotated.measure(rows(some.map(rec)) as never, {});
  const count = (rules: boolean) => some.flatMap(({ constraints }) => constraints).filter(({ rule }) => (rule !== null) === rules).length;
  t.deepEqual(measured, { pairs: 3, named: count(false) / 3, ruled: count(true) / 3, refined: 2 / 3, unread: 1 });
  t.is((await annotated.measure(rows(described.map(rec)) as never, {})).pairs, 59);
});

test.serial('of the short responses the stated share enters, and of a source no more than so many', async (t) => {
  t.deepEqual(
    (await dropped(ran, 'longEnough')).map(({ reason }) => reason),
    ['short'],
  );
  t.is((await records(await run({ seeds: { bypass: 1 } }), 'longEnough')).length, 60);
  const capped = await records<Tidied>(await run({ seeds: { perSource: 8 } }), 'capSources');
  t.deepEqual(
    ['lessons', 'letters'].map((source) => capped.filter((one) => one.source === source).length),
    [8, 8],
  );
});

test.serial('alpha weighs the reverse rows and no other', async (t) => {
  for (const alpha of [1, 0.25]) {
    const learnt = await made.trained<{ part: string }>(await run({ alpha }, ['pairs', 'general']), 'sft');
    for (const { record, chat } of learnt) t.is(chat.weight, record.part === 'reverse' ? alpha : undefined);
  }
});

test.serial('other rows ask nothing of the annotator again', async (t) => {
  t.deepEqual((await run({ alpha: 0.5, forward: { anyNumber: 0.9 }, demos: { rate: 0 } })).asked, []);
});

test.serial('the arms leave out the rows of one objective; everything begins with the base', async (t) => {
  const arms = await run({ arms: ['no-reverse', 'no-forward'] }, ['pairs', 'general']);
  for (const [path, left] of [
    ['no-reverse/sft', ['forward', 'general']],
    ['no-forward/sft', ['general', 'reverse']],
  ] as const) {
    const learnt = await made.trained<{ part: string }>(arms, path);
    t.deepEqual([...new Set(learnt.map(({ record }) => record.part))].toSorted(), left);
    t.is(inputs(arms, path).from.digest, digest(ran, 'model-base'));
  }
  t.is(inputs(ran, 'sft').from.digest, digest(ran, 'model-base'));
  t.is(inputs(ran, 'describe').with['annotator']!.digest, digest(ran, 'model-annotator'));
});

test.serial('with preferences the model goes on by DPO, without them it ends with the first training', async (t) => {
  const tuned = await run({}, ['pairs', 'preferences']);
  t.is(inputs(tuned, 'dpo').objective, 'dpo');
  t.is(inputs(tuned, 'dpo').from.digest, digest(tuned, 'sft'));
  const results = [tuned, ran].map((one) => one.results as { model: { digest: string }; sft: { digest: string } });
  t.deepEqual(
    results.map(({ model }) => model.digest),
    [digest(tuned, 'dpo'), digest(ran, 'sft')],
  );
  t.is(results[0]!.sft.digest, digest(tuned, 'sft'));
});

test.serial('what it does is within its longest plan, in calls and records too', async (t) => {
  const all = await run({ arms: ['no-reverse'] }, ['pairs', 'general', 'preferences']);
  const plan = await planOf('crab', made, all.given);
  t.deepEqual(await beyond(plan, all, made), []);
  t.deepEqual(
    plan.steps.flatMap(({ path, requests }) => (requests === null ? [path] : [])),
    ['describe'],
    'how many constraints a pair has is not known before',
  );
});

test.serial('the check is measured on constraints, each with its own response and with another', async (t) => {
  const one = await run({ judgeCheck: { pairs: 6 } });
  const { real, shuffled, judges, metrics, beyond } = await checkIn('crab', made, one);
  t.deepEqual(beyond, []);
  t.true(real.length > 3 && shuffled.length > 3);
  const constraintOf = (pair: object) => (pair as { constraints: { text: string; rule: unknown }[] }).constraints;
  for (const pair of real)
    t.deepEqual(
      constraintOf(pair).map(({ rule }) => rule),
      [null],
    );
  for (const pair of shuffled)
    t.true(real.some((other) => other['response'] !== pair['response'] && constraintOf(other)[0]!.text === constraintOf(pair)[0]!.text));
  t.deepEqual(judges.length, 1);
  t.true(metrics['high']! <= 1 && metrics['auc']! >= 0);
  t.deepEqual(one.results, ran.results);
});
