/** The acceptance facts of Self-Lengthen that concern its steps (test/operators/ has those of single texts), and what the recipe lets one
 *  choose. */
import test from 'ava';
import { lengthScore } from '../../operators/self-lengthen/lengths.ts';
import type { Demanded, Extended, Piece, Thinned } from '../../operators/self-lengthen/records.ts';
import { checkResponse, countWords } from '../../operators/self-lengthen/text.ts';
import type { ReportRef } from '../../schemas/call.ts';
import type { Rec } from '../../recipe/index.ts';
import { selfLengthen } from '../../schemas/recipes/self-lengthen.ts';
import { resolve } from '../../steps/resolve.ts';
import { beyond, planOf } from '../support/planned.ts';
import {
  answers,
  digest,
  inputs,
  isExtension,
  isPrefilled,
  machine,
  made,
  ran,
  records,
  rowsAt,
  run,
  small,
} from '../support/self-lengthen.ts';

const rounds = [1, 2, 3];
const count = <T>(items: readonly T[]) => [...Map.groupBy(items, (one) => one).values()].map(({ length }) => length);
const at = async <T>(path: string): Promise<Map<string, Rec<T>>> => new Map((await rowsAt<T>(ran, path)).map((row) => [row.id, row]));

test('1 the base is writer and judge in all rounds; it is generator and extender in the first, and then those of the round before are', (t) => {
  const base = digest(ran, 'model-base');
  for (const round of rounds) {
    const before = (role: string) => (round === 1 ? base : digest(ran, `r${round - 1}/${role}`));
    t.is(inputs(ran, `r${round}/propose`).with['writer']!.digest, base);
    t.is(inputs(ran, `r${round}/write`).with['generator']!.digest, before('generator'));
    t.is(inputs(ran, `r${round}/lengthen`).with['extender']!.digest, before('extender'));
  }
  t.is(inputs(ran, 'propose').with['writer']!.digest, base);
  t.is(inputs(ran, 'write').with['generator']!.digest, digest(ran, 'r3/generator'));
  t.is(inputs(ran, 'demand').with['writer']!.digest, base);
  t.is(new Set(ran.asked.filter(({ role }) => role !== 'writer').map(({ role, model }) => `${role} ${model}`)).size, 7);
  for (const { role, model, content } of ran.asked) {
    if (role === 'writer') t.is(model, base);
    else t.is(isExtension(content), role === 'extender');
  }
});

test('3 an extension has more than 1.2 times the words of its draft, is whole, and belongs to a draft of its round', async (t) => {
  for (const round of rounds) {
    const drafts = await at<Piece>(`r${round}/extensions`);
    const longer = await rowsAt<Extended>(ran, `r${round}/lengthen`);
    t.true(longer.length > 20);
    for (const { from, value } of longer) {
      const draft = drafts.get(from[0]!)!.value;
      t.deepEqual([value.initial, value.instruction], [draft.text, draft.instruction]);
      t.is(value.words, countWords(value.text));
      t.true(value.words > 1.2 * draft.words);
      t.is(checkResponse(value.text, { english: 10, chinese: 13 }), undefined);
    }
  }
});

test('4 every second request to an extender opens its reply', (t) => {
  const prefilled = ran.asked.flatMap(({ role, content }) => (role === 'extender' ? isPrefilled(content) : []));
  t.true(prefilled.length > 600);
  t.is(prefilled.filter(Boolean).length, prefilled.length / 2);
});

test('5 each instruction has two drafts and each draft two extensions, tasks of their own with replies of their own', async (t) => {
  for (const round of rounds) {
    for (const [tasks, of] of [
      ['drafts', 'propose'],
      ['extensions', 'initial'],
    ] as const) {
      const parents = await rowsAt(ran, `r${round}/${of}`);
      const copies = await rowsAt<object>(ran, `r${round}/${tasks}`);
      t.deepEqual(
        copies.map(({ from }) => from[0]),
        parents.flatMap(({ id }) => [id, id]),
      );
    }
    t.is(inputs(ran, `r${round}/write`).over.digest, digest(ran, `r${round}/drafts`));
    t.is(inputs(ran, `r${round}/lengthen`).over.digest, digest(ran, `r${round}/extensions`));
    const [drafts, longer] = [await records<Piece>(ran, `r${round}/write`), await records<Extended>(ran, `r${round}/lengthen`)];
    t.is(new Set(drafts.map(({ text }) => text)).size, drafts.length);
    t.is(new Set(longer.map(({ text }) => text)).size, longer.length);
    t.is(Math.max(...count(drafts.map(({ instruction }) => instruction))), 2);
    t.is(Math.max(...count(longer.map(({ initial }) => initial))), 2);
  }
});

test.serial('5 a stage closes at 95 % of its tasks, counted one by one; what comes later is not in it, and is counted', async (t) => {
  t.timeout(1_200_000); // without a quorum it would wait for ever
  const silent = new Set<string>();
  machine.mute = (content) => {
    if (!content.startsWith('Write a long history of the new town') || silent.size >= 2 || silent.has(content)) return false;
    silent.add(content); // of two drafts only one: the other has the same request
    return true;
  };
  const other = await run({ quorum: 0.95, rounds: 1, perRound: 29 }); // 40 to 58 drafts, as long as 20 instructions are kept
  machine.mute = () => false;
  const { rows: tasks } = other.step('r1/drafts').data;
  t.is(Math.floor(0.05 * tasks), silent.size, 'two of them are five per cent');
  const { stepKey } = await resolve(other.step('r1/write').call, made.bench.context, await made.bench.services.registry([]));
  const output = (await made.bench.services.store.output(stepKey))!;
  t.like(output, { in: tasks, determinism: 'timing' });
  t.is(output.dropped['straggler'], 2);
  const drafts = Map.groupBy(await records<Piece>(other, 'r1/write'), ({ instruction }) => instruction);
  for (const instruction of silent) t.true((drafts.get(instruction)?.length ?? 0) <= 1, instruction);
  t.true(
    [...silent].some((instruction) => drafts.has(instruction)),
    'the other draft is there',
  );
});

test('drafts and extensions wait for 95 % of their tasks, and all other steps for every record', (t) => {
  t.is(selfLengthen.parameters.parse({}).quorum, 0.95);
  const limited = ran.performed.flatMap(({ call }) => ('quorum' in call.inputs ? call.path : []));
  t.deepEqual(limited.toSorted(), ['write', ...rounds.flatMap((round) => [`r${round}/lengthen`, `r${round}/write`])].toSorted());
});

test('6 the generator learns the extended texts of the bare instructions, and the extender learns them from outlines', async (t) => {
  let [kept, all] = [0, 0];
  for (const round of rounds) {
    const extended = await records<Extended>(ran, `r${round}/extended`);
    const generator = await made.trained<Extended>(ran, `r${round}/generator`);
    t.deepEqual(
      generator.map(({ chat }) => chat.messages),
      extended.map(({ instruction, text }) => [
        { role: 'user', content: instruction },
        { role: 'assistant', content: text },
      ]),
    );
    const extender = await made.trained<Thinned>(ran, `r${round}/extender`);
    t.is(extender.length, extended.length);
    extender.forEach(({ record: { outline, initial }, chat }, i) => {
      const lines = (text: string) => text.split('\n').filter((line) => line !== '');
      kept += lines(outline).length;
      all += lines(initial).length;
      t.is(initial, extended[i]!.initial);
      t.deepEqual(
        lines(outline),
        lines(initial).filter((line) => lines(outline).includes(line)),
      );
      t.is(chat.messages[0]!.content, requestFor(extended[i]!.instruction, outline));
      t.deepEqual(chat.messages[1], { role: 'assistant', content: extended[i]!.text });
    });
  }
  t.true(Math.abs(kept / all - 0.8) < 0.06, `${kept} of ${all} lines`);
});
/** What an extender is sent for this outline: as in a request of the run, with another instruction and outline. */
function requestFor(instruction: string, outline: string): string {
  const sent = ran.asked.find(({ role, content }) => role === 'extender' && !isPrefilled(content))!.content;
  return sent.replace(
    /^Instruction:\n[^]*?\n\nOutline:\n[^]*?\n\nThe outline is/,
    () => `Instruction:\n${instruction}\n\nOutline:\n${outline}\n\nThe outline is`,
  );
}

test('8 from the second round on the adapters of the round before are trained further; 16,384 tokens, 1e-4, four epochs', async (t) => {
  const { store } = made.bench.services;
  const base = ran.step('model-base').model;
  for (const round of rounds) {
    for (const role of ['generator', 'extender']) {
      const { call, spec, model } = ran.trainings.find(({ call }) => call.path === `r${round}/${role}`)!;
      t.like(spec, { maxTokens: 16_384, learningRate: { from: 1e-4 }, schedule: 'cosine', warmup: 0.1, adapter: 'continue' });
      t.is(spec.steps, 4 * Math.ceil(ran.step(`r${round}/extended`).data.rows / 8));
      t.is((call.inputs['from'] as { digest: string }).digest, round === 1 ? base.digest : digest(ran, `r${round - 1}/${role}`));
      t.is(spec.base === null, round === 1, 'the base is no adapter');
      t.is((await store.model(model)).base, base.digest, 'adapters are not merged, so that one server serves all');
    }
  }
});

test('the final data are texts of all rounds, short and extended, and of the final generator; each has a length that its instruction demands', async (t) => {
  const pool = await rowsAt<Piece>(ran, 'pool');
  const parts = [...rounds.flatMap((round) => [`r${round}/initial`, `r${round}/extended`]), 'write'];
  t.deepEqual(
    pool.map(({ id }) => id),
    (await Promise.all(parts.map((path) => rowsAt(ran, path)))).flat().map(({ id }) => id),
  );
  t.is(inputs(ran, 'write').over.digest, digest(ran, 'drafts'), 'without extensions');
  const { min, max } = small.keepWords;
  const fitting = pool.filter(({ value: { words } }) => words >= min && words <= max);
  t.true(pool.some(({ value: { words } }) => words < min) && pool.some(({ value: { words } }) => words > max));
  t.deepEqual(await rowsAt(ran, 'long'), fitting);
  const data = await records<Demanded>(ran, 'demand');
  t.true(data.length > 100);
  for (const { demand, instruction, bare, text, words } of data) {
    t.is(lengthScore(demand, words), 1);
    for (const number of Object.values(demand).flat()) t.true(instruction.includes(String(number)), instruction);
    t.true(pool.some(({ value }) => value.instruction === bare && value.text === text));
  }
  t.deepEqual(
    (await made.trained<Demanded>(ran, 'final')).map(({ chat }) => chat.messages.map(({ content }) => content)),
    data.map(({ instruction, text }) => [instruction, text]),
  );
  t.is(inputs(ran, 'final').from.digest, digest(ran, 'model-base'));
});

test.serial('the final training can start from the generator, with settings of its own', async (t) => {
  const other = await run({ finalFrom: 'generator', finalSft: { learningRate: 1e-5 } });
  t.is(inputs(other, 'final').from.digest, digest(ran, 'r3/generator'));
  t.like(other.trainings.find(({ call }) => call.path === 'final')!.spec, { learningRate: { from: 1e-5 }, maxTokens: 16_384 });
  t.deepEqual(other.asked, [], 'and nothing is written again');
});

test.serial('suites measure the base, the generator of each round and the final model; and the texts of each round', async (t) => {
  const instruction = 'Write a story.';
  const evaluation = {
    length: { id: 'self-lengthen.lonGen', params: { items: [{ instruction, demand: { about: 80 } }] } },
    quality: { id: 'self-lengthen.quality', params: { items: [{ instruction }] }, with: { judge: 'base' } },
    data: { id: 'std.degeneracy', params: { text: 'text' } },
  };
  const measured = await run({}, evaluation);
  const report = (path: string) => measured.step(path).result as unknown as ReportRef;
  const turns = [
    ...rounds.map((round) => [`r${round}/`, 'generator', `r${round}/generator`] as const),
    ['', 'base', 'model-base'],
    ['', 'final', 'final'],
  ] as const;
  for (const [turn, name, path] of turns)
    for (const suite of ['length', 'quality'])
      t.is((measured.step(`${turn}evaluate-${suite}-${name}`).call.inputs['of'] as { digest: string }).digest, digest(ran, path));
  t.like(report('evaluate-quality-base').metrics, { quality: 7, judged: 1 });
  t.is(report('evaluate-length-base').metrics['answered'], 1);
  for (const turn of [...rounds.map((round) => `r${round}/`), '']) t.true(report(`${turn}evaluate-data`).metrics['chars50']! > 300);
});

test.serial('killed in the midst of its extensions, each goes on where it was: nothing that was answered is asked again', async (t) => {
  const other = { rounds: 1, extension: { iterations: 2 } };
  const whole = async () => records<Extended>(await run(other), 'r1/lengthen');
  const known = answers.length;
  machine.dies = () => answers.length - known >= 40;
  await t.throwsAsync(whole());
  machine.dies = () => false;
  const cut = answers.length;
  t.is(cut - known, 40);
  const longer = await whole();
  t.true(longer.length > 10);
  t.is(new Set(answers.slice(known)).size, answers.length - known);
});

for (const [what, parameters] of [
  ['as in the paper, but for the numbers', {}],
  ['three drafts and one extension, every text kept', { drafts: 3, extensions: 1, lengthBias: { scale: 0 }, rounds: 1 }],
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${what}`, async (t) => {
    const one = await run(parameters);
    const plan = await planOf('self-lengthen', made, one.given);
    t.deepEqual(await beyond(plan, one, made), []);
    const [write, lengthen] = ['r1/write', 'r1/lengthen'].map((path) => plan.steps.find((step) => step.path === path)!);
    t.is(write!.in, small.perRound * ('drafts' in parameters ? parameters.drafts : 2));
    t.is(lengthen!.requests, lengthen!.in! * 3 * 6);
  });
