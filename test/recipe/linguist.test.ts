/** The acceptance facts of LINGUIST that concern its steps (test/operators/ has those of single utterances), and what the recipe lets one
 *  choose. */
import test from 'ava';
import { parsed, piecesOf, slotsIn, taggedOf, type Piece } from '../../operators/linguist/grammar.ts';
import { textOf } from '../../operators/linguist/compose.ts';
import type { Brief, Sample, Utterance } from '../../operators/linguist/records.ts';
import type { ReportRef } from '../../schemas/call.ts';
import { linguist } from '../../schemas/recipes/linguist.ts';
import { intents, rowOf } from '../support/linguist-data.ts';
import { beyond, planOf } from '../support/planned.ts';
import {
  answers,
  bilingual,
  blocksOf,
  exampleLines,
  german,
  includesIn,
  inputs,
  labelsIn,
  machine,
  made,
  outputOf,
  ran,
  records,
  rowsAt,
  run,
  small,
  test as testRows,
} from '../support/linguist.ts';

const novel = intents.slice(0, 2);
const projection = { languages: ['de'], samples: 3 };
const arms = ['linguist', 'none', 'upsampled', 'paraphrase'];
const draws = ['draw-0', 'draw-1'];
const cells = novel.flatMap((intent) => draws.map((draw) => ({ intent, cell: `${intent}/${draw}` })));
const textIn = (line: string) => textOf({ tokens: parsed(line)!.flatMap(({ words }) => words) });
const metrics = (of: typeof ran, path: string) => (of.step(path).result as unknown as ReportRef).metrics;
const accepted = (cell: string) => ran.performed.findLast(({ call }) => new RegExp(`^${cell}/pass-\\d/novel$`).test(call.path))!.call.path;

test('1 every request has five blocks in order, at most ten examples without its target, and labels for all that it includes', async (t) => {
  const drilled = (await Promise.all(novel.map((intent) => made.trained(ran, `${intent}/generator`)))).flat();
  const requests = [
    ...drilled.map(({ chat: { messages } }) => ({ content: messages[0]!.content, target: messages[1]!.content })),
    ...ran.asked.flatMap(({ role, content }) => (role === 'generator' ? { content, target: '' } : [])),
  ];
  t.true(requests.length > 200);
  for (const { content, target } of requests) {
    t.deepEqual(blocksOf(content).names, ['language', 'intent', 'include', 'labels', 'examples']);
    const examples = exampleLines(content);
    t.true(examples.length <= 10);
    if (target !== '') t.false(examples.map(textIn).includes(textIn(target)), content);
    const labels = labelsIn(content);
    for (const { type } of [...includesIn(content), ...examples.flatMap((line) => slotsIn(parsed(line)!))])
      t.true(labels.has(type), content);
  }
});

test('4 the generator of an intent has learnt none of its utterances; its students have ten real ones, and all of the others', async (t) => {
  for (const intent of novel) {
    const others = intents.filter((one) => one !== intent);
    const drilled = await made.trained<{ intent: string }>(ran, `${intent}/generator`);
    t.is(drilled.length, 60);
    for (const { record, chat } of drilled) {
      t.true(others.includes(record.intent));
      t.false(chat.messages[0]!.content.includes(`<intent> ${intent} `));
    }
    for (const draw of draws) {
      const starters = await rowsAt<Utterance>(ran, `${intent}/${draw}/starters`);
      t.is(starters.length, 10);
      for (const arm of arms) {
        const rows = await records<Utterance & { raw?: string }>(ran, `${intent}/${draw}/${arm}/rows`);
        const real = rows.filter(({ raw }) => raw === undefined);
        t.is(real.filter((one) => one.intent !== intent).length, 60);
        const own = new Set(real.flatMap((one) => (one.intent === intent ? textOf(one) : [])));
        t.deepEqual(own, new Set(starters.map(({ value }) => textOf(value))));
      }
    }
  }
  const drawn = await Promise.all(draws.map((draw) => rowsAt<Utterance>(ran, `GetWeather/${draw}/starters`)));
  t.notDeepEqual(drawn[0], drawn[1], 'each draw draws afresh');
});

test('the arms differ in their rows: starters once, up-sampled to as many, with paraphrases, with generated utterances', async (t) => {
  for (const { intent, cell } of cells) {
    const own = async (arm: string) => (await records<Sample>(ran, `${cell}/${arm}/rows`)).filter((one) => one.intent === intent);
    const generated = await records<Sample>(ran, accepted(cell));
    t.is((await own('none')).length, 10);
    t.is((await own('upsampled')).length, 10 * 3 + small.target);
    t.deepEqual((await own('linguist')).slice(30), generated);
    const paraphrases = (await own('paraphrase')).slice(30);
    t.is(paraphrases.length, small.target);
    for (const { brief, raw, tokens, tags } of paraphrases) {
      t.is(brief, null);
      t.regex(raw, /^now .* take \d+$/);
      const starter = (await rowsAt<Utterance>(ran, `${cell}/starters`)).find(({ value }) =>
        raw.startsWith(`now ${value.tokens.join(' ')} `),
      )!;
      t.deepEqual(tags.slice(1, 1 + starter.value.tags.length), starter.value.tags);
      t.is(tokens.length, tags.length);
    }
  }
});

test('6 local recall is over the utterances of the intent alone; what is taken for it elsewhere lowers the accuracy', (t) => {
  for (const { intent, cell } of cells)
    for (const student of ['student-0', 'student-1']) {
      const report = metrics(ran, `${cell}/linguist/${student}/evaluate`);
      t.is(report['intentAccuracy'], 20 / 24, 'two of each eight are taken for weather');
      t.is(report['intentRecall'], intent === 'GetWeather' ? 1 : 6 / 8);
      t.true(report['localSlotF1']! > 0.8 && report['localSlotF1']! < 0.9, 'their slots are missed');
    }
});

test('7 one generator for each novel intent; a student for each intent, arm, draw and seed', async (t) => {
  const trained = Map.groupBy(ran.trainings, ({ spec }) => spec.objective);
  t.deepEqual(
    trained
      .get('sft')!
      .map(({ call }) => call.path)
      .toSorted(),
    novel.map((intent) => `${intent}/generator`).toSorted(),
  );
  const students = trained.get('tagger')!;
  t.is(students.length, 2 * arms.length * 2 * 2);
  t.is(new Set(students.map(({ spec }) => spec.seed)).size, 2);
  for (const { intent, cell } of cells)
    t.is(inputs(ran, `${cell}/pass-1/annotate`).with['generator']!.digest, ran.step(`${intent}/generator`).model.digest);
  for (const { call } of students) t.is((call.inputs['from'] as { digest: string }).digest, ran.step('model-encoder').model.digest);
  const defaults = linguist.parameters.parse({ intents: ['t'] });
  t.like(defaults, {
    starters: 10,
    samples: 100,
    examples: 10,
    drills: { labelDropout: 0.2 },
    sampling: { generate: { temperature: 0.3, topK: 50 } },
  });
});

test('7 the tables have mean and deviation over draws and students, of each arm and of each arm on each intent', (t) => {
  t.deepEqual(
    Object.keys(ran.results).toSorted(),
    [...arms, ...arms.flatMap((arm) => novel.map((intent) => `${arm}/${intent}`))].toSorted(),
  );
  const recalls = cells.flatMap(({ cell }) =>
    ['student-0', 'student-1'].map((student) => metrics(ran, `${cell}/none/${student}/evaluate`)['intentRecall']!),
  );
  t.is(recalls.length, 8);
  const mean = recalls.reduce((sum, one) => sum + one, 0) / 8;
  const table = (ran.results as Record<string, ReportRef>)['none']!.metrics;
  t.true(Math.abs(table['intentRecallMean']! - mean) < 1e-12);
  t.true(Math.abs(table['intentRecallStd']! - Math.sqrt(recalls.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 7)) < 1e-12);
  t.is((ran.results as Record<string, ReportRef>)['none/GetWeather']!.metrics['intentRecallMean'], 1);
});

test('8 every accepted utterance has its request, the labels that decode its reply, its tags and the rules that it meets', async (t) => {
  for (const { intent, cell } of cells) {
    const passes = ran.performed.flatMap(({ call }) =>
      call.path.startsWith(`${cell}/pass-`) && call.path.endsWith('/briefs') ? call.path : [],
    );
    const asked = (await Promise.all(passes.map((path) => records<Brief>(ran, path)))).flat();
    const briefs = new Map(asked.map((brief) => [brief.id, brief]));
    const starters = new Set((await rowsAt<Utterance>(ran, `${cell}/starters`)).map(({ value }) => textOf(value)));
    const samples = await records<Sample>(ran, accepted(cell));
    t.true(samples.length > 20);
    for (const { brief, raw, tokens, tags, rules, ...sample } of samples) {
      t.deepEqual(briefs.get(brief!.id), brief!);
      t.is(sample.intent, intent);
      const decoded = parsed(raw)!.map(({ type, words }): Piece<string> => ({ type: type === null ? null : brief!.labels[type]!, words }));
      t.deepEqual(taggedOf(decoded), { tokens, tags });
      t.deepEqual(rules, { V1: true, V2: true, V3: true, V4: true, V5: true, V6: true, V7: true });
      t.false(starters.has(textOf({ tokens })));
    }
    t.is(new Set(samples.map(textOf)).size, samples.length);
  }
});

test('3 what is rejected is counted by rule', async (t) => {
  const counts: Record<string, number> = {};
  for (const { cell } of cells)
    for (const path of [1, 2].flatMap((pass) => [`${cell}/pass-${pass}/annotate`, `${cell}/pass-${pass}/novel`])) {
      if (!ran.performed.some(({ call }) => call.path === path)) continue;
      const { in: entering, kept, dropped } = await outputOf(ran, path);
      if (path.includes('annotate')) t.is(entering, kept + Object.values(dropped).reduce((sum, count) => sum + count, 0));
      for (const [reason, count] of Object.entries(dropped)) counts[reason] = (counts[reason] ?? 0) + count;
    }
  for (const reason of ['v1-grammar', 'v2-label', 'v3-slots', 'v4-value', 'v5-wildcard', 'v6-copy', 'v6-duplicate'])
    t.true(counts[reason]! > 0, reason);
});

test.serial('requests are made in passes until enough utterances are accepted, at most so many times', async (t) => {
  const passes = (of: typeof ran) => of.performed.flatMap(({ call }) => /draw-0\/pass-(\d)\/annotate$/.exec(call.path)?.[1] ?? []);
  const enough = await run({ intents: ['GetWeather'], draws: 1, target: 100, passes: 9 });
  const rowsOf = (pass: string) => enough.step(`GetWeather/draw-0/pass-${pass}/novel`).data.rows;
  t.true(passes(enough).length > 1 && passes(enough).length < 9);
  t.deepEqual(
    passes(enough).map((pass) => rowsOf(pass) < 100),
    passes(enough).map((pass) => pass !== passes(enough).at(-1)),
  );
  t.is(rowsOf(passes(enough).at(-1)!), 100);
  const asked = enough.step('GetWeather/draw-0/pass-2/annotate').call.inputs as { until?: { kept: number } };
  t.is(asked.until!.kept, 100 - rowsOf('1'), 'a pass makes what is missing');
  const never = await run({ intents: ['GetWeather'], draws: 1, samples: 2, target: 1000, passes: 3 });
  t.deepEqual(passes(never), ['1', '2', '3']);
  const all = await Promise.all(['1', '2', '3'].map((pass) => records<Brief>(never, `GetWeather/draw-0/pass-${pass}/briefs`)));
  t.is(new Set(all.flat().map(({ id }) => id)).size, 60, 'no request is made twice');
  const top = await records<Sample>(never, 'GetWeather/draw-0/pass-3/novel');
  const before = await records<Sample>(never, 'GetWeather/draw-0/pass-2/novel');
  t.true(top.length > before.length);
  t.deepEqual(top.slice(0, before.length), before);
});

test.serial('an intent without enough utterances waits for a person, before anything is generated', async (t) => {
  const misspelt = await run({ intents: ['GetWether'], draws: 1, passes: 1, students: 1 });
  t.like(misspelt.short, [{ path: 'GetWether/draw-0/enough-starters', short: 'wants at least 10 records and has 0' }]);
  const few = await run({ intents: ['GetWeather'], starters: 40, draws: 1, passes: 1, students: 1 });
  t.like(few.short, [{ path: 'GetWeather/draw-0/enough-starters', short: 'wants at least 40 records and has 30' }]);
});

test('no utterance of the test set is learnt or shown', async (t) => {
  const texts = new Set(testRows.map(textOf));
  t.is((await outputOf(ran, 'unseen')).dropped['present'], 1);
  for (const one of await records<Utterance>(ran, 'unseen')) t.false(texts.has(textOf(one)));
  for (const { cell } of cells) for (const one of await records<Sample>(ran, accepted(cell))) t.false(texts.has(textOf(one)));
  for (const { content, role } of ran.asked)
    if (role === 'generator') for (const line of exampleLines(content)) t.false(texts.has(textIn(line)));
});

test.serial('B the generator learns from translations, utterances are projected, and students learn both languages', async (t) => {
  const both = await run({ projection, arms: ['none'] }, bilingual);
  const drilled = await made.trained<{ language: string }>(both, 'generator');
  t.is(drilled.length, 12);
  for (const { record, chat } of drilled) {
    t.is(record.language, 'de');
    const [asked, target] = chat.messages.map(({ content }) => content);
    t.true(asked!.includes('<language> German </language>'));
    const first = exampleLines(asked!)[0];
    if (first !== undefined) t.is(/um \[\d+ (\d+)/.exec(target!)![1], /at \[\d+ (\d+)/.exec(first)![1], 'the translation comes first');
    for (const line of exampleLines(asked!)) t.regex(line, /^wake me up/);
  }
  const train = await rowsAt<Utterance>(both, 'source');
  const best = await rowsAt<Sample>(both, 'de/best');
  t.true(best.length > 60 && best.length < train.length);
  const sources = best.map(({ value }) => value.brief!.source);
  t.is(new Set(sources).size, best.length);
  const rated = await rowsAt<Sample>(both, 'de/rate');
  for (const { value } of best) {
    t.is(value.language, 'de');
    const others = rated.filter((one) => one.value.brief!.source === value.brief!.source).map((one) => one.value.perplexity!);
    t.is(value.perplexity, Math.min(...others));
  }
  t.is((await outputOf(both, 'de/best')).dropped['no-translation'], train.length - best.length);
  t.is((await rowsAt(both, 'linguist/rows')).length, train.length + best.length);
  t.is((await rowsAt(both, 'none/rows')).length, train.length);
  t.deepEqual(Object.keys(both.results).toSorted(), ['linguist', 'linguist/de', 'linguist/en', 'none', 'none/de', 'none/en']);
  t.deepEqual(metrics(both, 'linguist/spread'), metrics(both, 'linguist/de/spread'), 'the known language is no part of the mean');
  t.is((await rowsAt(both, 'test-de')).length, german.length);

  const copied = await run({ projection: { ...projection, fallback: 'copy' } }, bilingual);
  t.is((await rowsAt(copied, 'linguist/rows')).length, 2 * train.length);
  t.deepEqual(copied.asked, [], 'and nothing is written again');
});

test.serial('killed while it generates, it goes on where it was: nothing that was answered is asked again', async (t) => {
  const other = () => run({ intents: ['PlayMusic'], draws: 1, students: 1, wildcard: 0.3 });
  const known = answers.length;
  machine.dies = () => answers.length - known >= 40;
  await t.throwsAsync(other());
  machine.dies = () => false;
  t.is(answers.length - known, 40);
  const whole = await other();
  t.true((await records(whole, 'PlayMusic/draw-0/pass-1/novel')).length > 10);
  t.is(new Set(answers.slice(known)).size, answers.length - known);
});

for (const [what, parameters, data] of [
  ['with all arms', { intents: novel, arms: arms.slice(1) }, {}],
  ['across languages', { projection, arms: ['none'] }, bilingual],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const one = await run(parameters, data);
    t.deepEqual(await beyond(await planOf('linguist', made, one.given), one, made), []);
  });

test('parameters that do not belong together are refused with where they are', (t) => {
  const fault = (parameters: object) =>
    linguist.parameters.safeParse(parameters).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  t.deepEqual(fault({}), ['intents: give the novel `intents`, or a `projection`']);
  t.deepEqual(fault({ intents: ['a'], projection }), ['intents: give the novel `intents`, or a `projection`']);
  t.deepEqual(fault({ intents: ['a', 'a'] }), ['intents: an intent is there twice']);
  t.deepEqual(fault({ projection, arms: ['upsampled'] }), ['arms: a `projection` has no starters, and so only the arm `none`']);
  t.deepEqual(fault({ projection: { languages: ['de', 'en'] } }), [
    'projection.languages: a language is there twice, or is that of the given utterances',
  ]);
  t.deepEqual(linguist.lacks({ projection } as never, ['train', 'test']).length, 1);
  t.deepEqual(linguist.lacks({ projection } as never, ['train', 'test', 'parallel']), []);
  t.is(piecesOf(rowOf('PlayMusic', 1)).length, 3);
});
