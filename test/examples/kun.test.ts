/** Kun on the text world: what it would do, what its data allow where no model errs, and what its seed teaches. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask, judge, polish, seed, texts, toInstruction, toResponse } from '../../examples/textworld/kun.ts';
import { isRight } from '../../examples/textworld/oracle.ts';
import { interviewTopics } from '../../examples/textworld/pretraining.ts';
import { relations } from '../../examples/textworld/relations.ts';
import { World } from '../../examples/textworld/world.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { parseVerdict } from '../../operators/kun/rules.ts';
import type { Message } from '../../recipe/index.ts';
import { runInMemory } from '../../recipe/memory.ts';
import { plan } from '../../plan/planner.ts';
import type { ReportRef } from '../../schemas/call.ts';
import { openServices } from '../../steps/services.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { askFor, rewrite } from '../support/ideal.ts';
import { bench } from '../support/memory.ts';

const FILE = join(import.meta.dirname, '../../examples/textworld/kun.yaml');
const world = new World(0);
const people = relations.town.founder.values;
const textsOf = (size: 'full' | 'miniature') =>
  [...(texts.rows({ seed: 0, size }, []) as Iterable<{ readonly text: string }>)].map(({ text }) => text);
type Lesson = Parameters<typeof toInstruction.render>[0];
const lessons = [...(seed.rows({ seed: 0, size: 'full' }, []) as Iterable<Lesson>)];
const namesPerson = (instruction: string) => people.some((person) => instruction.includes(person));
const isVague = (instruction: string) => /\bit\b.*\?/.test(instruction);

test('the experiment on the text world can run, and trains the label model, the chat model, the final one and its controls', async (t) => {
  const { bound } = await loadExperiment(FILE);
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-kun-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  t.deepEqual(steps.flatMap(({ path, kind }) => (kind === 'train' ? path : [])).toSorted(), [
    'final-chat',
    'label-model',
    'primary-chat',
    'unjudged/final-chat',
    'unpolished/final-chat',
  ]);
});

function reply({ role, prompt }: { readonly role: string; readonly prompt: object }): string {
  const [, { content }] = (prompt as { readonly messages: readonly [Message, Message] }).messages;
  if (role === 'label') return askFor(content);
  if (role === 'point') return isVague(content) || namesPerson(content) ? '[BAD]' : '[GOOD]';
  if (role === 'model') return 'No answer.';
  const [, draft, instruction] = /^Answer: (.*) Question: (.*)$/.exec(content)!;
  return rewrite(instruction!, draft!);
}

test('where no model errs, only what is judged and polished is right', async (t) => {
  const sets = ['data.seed', 'data.texts', 'evaluation.forward', 'evaluation.backward', 'evaluation.labelled', 'evaluation.pairs'];
  const { bound } = await loadExperiment(FILE, [...sets.map((path) => `${path}.params.size=miniature`), 'parameters.minimum=1']);
  const { perform } = await bench({ reply, score: () => [{ id: 0, logprob: -1, entropy: null }] }, { modules: bound.modules });
  const { performed } = await runInMemory(recipes['kun']!, bound, perform);
  const metricsOf = (path: string) => (performed.find(({ call }) => call.path === path)!.result as ReportRef).metrics;

  const clean = textsOf('miniature').filter((text) => world.parseAnswer(text) !== null).length;
  t.true(clean > 0 && clean < 16);
  t.like(metricsOf('evaluate-labelled'), { pairs: 40, aboutIt: 12 / 40, aboutPeople: 12 / 40, fromDrafts: 16 / 40 });
  t.like(metricsOf('evaluate-pairs'), { pairs: 16, keptPrecision: 1, keptCoverage: 1, aboutIt: 0, aboutPeople: 0, fromDrafts: 1 });
  t.like(metricsOf('unpolished/evaluate-pairs'), { pairs: 16, keptPrecision: clean / 16, aboutIt: 0, aboutPeople: 0 });
  const { pairs: drawn, keptPrecision, aboutIt, aboutPeople, fromDrafts } = metricsOf('unjudged/evaluate-pairs') as Record<string, number>;
  t.is(drawn, 16);
  t.true(aboutIt! + aboutPeople! > 0);
  t.is(keptPrecision, fromDrafts);
  t.true(Math.abs(aboutIt! + aboutPeople! + fromDrafts! - 1) < 1e-9);
});

test('the texts are drafts about all facts, and as many again and a half that nobody should ask about', (t) => {
  const told = textsOf('full');
  t.deepEqual([told.length, new Set(told).size], [2160, 2160]);
  const asked = told.map(askFor);
  t.is(asked.filter((instruction) => world.parseInstruction(instruction) !== null).length, 864);
  t.is(asked.filter(isVague).length, 648);
  t.is(asked.filter(namesPerson).length, 648);
});

test('the seed tells good instructions from bad ones, names no person of the texts, and polishes what is known about labelled and interviewed things', (t) => {
  const of = (task: string) => lessons.filter((one) => one.task === task);
  t.deepEqual(
    ['answer', 'judge', 'polish'].map((task) => of(task).length),
    [96, 1200, 400],
  );
  for (const { instruction, response } of of('judge')) t.is(parseVerdict(response), !isVague(instruction) && !namesPerson(instruction));
  const bad = of('judge').filter(({ response }) => parseVerdict(response) === false);
  t.deepEqual([bad.filter(({ instruction }) => isVague(instruction)).length, bad.length], [300, 600]);
  const told = textsOf('full').map(askFor).filter(namesPerson).join(' ');
  t.deepEqual(
    people.filter((person) => told.includes(person) && bad.some(({ instruction }) => instruction.includes(person))),
    [],
  );
  const known = new Set(
    [...interviewTopics(world), ...of('answer').map(({ response }) => world.parseAnswer(response)!)].map(({ thing }) => thing),
  );
  t.true(known.size < world.things.length / 2);
  for (const { instruction, text, response } of of('polish')) {
    t.true(isRight(world, { instruction, response }));
    t.true(known.has(world.parseInstruction(instruction)!.thing));
    t.true(text.includes(response.replace(/^(Note: |- |<< )/, '').replace(/( Done\.| >>)$/, '')));
  }
});

test('each model is asked with the very turns it was trained on, and a final pair answers its instruction alone', (t) => {
  const asked = (row: { readonly messages: readonly unknown[] }) => ({ messages: row.messages.slice(0, -1) });
  const prompts = { judge, polish };
  for (const lesson of lessons) {
    t.deepEqual(ask.render(lesson), asked(toInstruction.render(lesson)));
    if (lesson.task !== 'answer') t.deepEqual(prompts[lesson.task].render(lesson), asked(toResponse.render(lesson)));
  }
  const { messages } = toResponse.render({ text: 'A draft.', instruction: 'Where?', response: 'There.' });
  t.deepEqual(
    messages.map(({ content }) => content),
    ['Answer.', 'Where?', 'There.'],
  );
});
