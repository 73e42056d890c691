/** Self-Lengthen on the text world: what it would do, whether its lessons are right, and that texts grow only where something extends them. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lessons, seeds, toReply } from '../../examples/textworld/passages.ts';
import { World } from '../../examples/textworld/world.ts';
import { loadExperiment } from '../../experiments/config.ts';
import type { Lesson, Piece } from '../../operators/self-lengthen/records.ts';
import { checkResponse } from '../../operators/self-lengthen/text.ts';
import { plan } from '../../plan/planner.ts';
import type { Message } from '../../recipe/index.ts';
import { runInMemory } from '../../recipe/memory.ts';
import type { DatasetRef, ModelRef, ReportRef } from '../../schemas/call.ts';
import { openServices } from '../../steps/services.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { bench, type Bench } from '../support/memory.ts';

const FILE = join(import.meta.dirname, '../../examples/textworld/self-lengthen.yaml');
const world = new World(0);
const data = { seed: 0, size: 'full' } as const;
const taught = [...(lessons.rows(data, []) as Iterable<Lesson>)].map((lesson) =>
  toReply.render(lesson).messages.map(({ content }) => content),
);
const ofTask = (task: string) => taught.filter(([system]) => system === task).map(([, asked, reply]) => ({ asked: asked!, reply: reply! }));

test('the experiment on the text world can run, and trains both models and the arm in each round', async (t) => {
  const { bound } = await loadExperiment(FILE);
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-passages-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  const trained = steps.flatMap(({ path, kind }) => (kind === 'train' ? path : []));
  const rounds = [1, 2, 3].flatMap((n) => [`r${n}/generator`, `r${n}/extender`, `r${n}/unextended/generator`]);
  t.deepEqual(trained.toSorted(), ['base', 'final', ...rounds].toSorted());
});

test('every text of a lesson passes the checks and states different true facts about the thing of its instruction', (t) => {
  for (const { asked, reply } of [...ofTask('Tell.'), ...ofTask('Extend.')]) {
    t.is(checkResponse(reply, { english: 10, chinese: 13 }), undefined, reply);
    const facts = reply.split('\n').map((line) => world.parseAnswer(line)!);
    t.is(new Set(facts.map(({ thing, relation }) => `${thing} ${relation}`)).size, facts.length);
    t.true(facts.every(({ thing }) => asked.split('\n')[0]!.includes(thing)));
  }
  for (const { asked, reply } of ofTask('Extend.')) {
    const meanings = (lines: readonly string[]) =>
      lines.map((line) => world.parseAnswer(line)!).map(({ thing, relation }) => `${thing} ${relation}`);
    const [outline, text] = [meanings(asked.split('\n').slice(1)), meanings(reply.split('\n'))];
    t.is(text.length, outline.length + 1);
    t.deepEqual(
      text.filter((fact) => outline.includes(fact)),
      outline,
      'in the order of the outline',
    );
  }
  t.true(ofTask('Tell.').every(({ reply }) => !reply.includes('\n')));
});

test('no lesson tells a fact about a thing of a seed instruction, and none of a test', (t) => {
  const told = new Set(
    [...ofTask('Tell.'), ...ofTask('Extend.')].flatMap(({ reply }) => reply.split('\n').map((line) => world.parseAnswer(line)!.thing)),
  );
  for (const { instruction } of seeds.rows(data, []) as Iterable<{ instruction: string }>)
    for (const { name } of world.things) if (instruction.includes(name)) t.false(told.has(name), instruction);
});

/** The first facts about a thing, one a line. */
const tells = (thing: string, count: number): string =>
  world
    .topicsOf(thing)
    .slice(0, count)
    .map((topic) => world.answers({ ...topic, form: 'plain' })[0])
    .join('\n');

/** One fact before any round, and then as many as the texts that it has learnt have on average. */
async function habitOf({ services, trainings }: Bench, model: ModelRef): Promise<number> {
  const { call } = trainings.find((one) => one.model.digest === model.digest)!;
  if (call.label === 'base') return 1;
  const lines: number[] = [];
  for await (const { value } of services.store.read(call.inputs['data'] as DatasetRef))
    lines.push((value as Piece).text.split('\n').length);
  return Math.round(lines.reduce((sum, one) => sum + one, 0) / lines.length);
}

test('texts grow in each round where an extender extends them, and not in the arm without', async (t) => {
  const { bound } = await loadExperiment(FILE, ['parameters.perRound=5', 'parameters.collect=2', 'parameters.minimum=1']);
  let asked = 0;
  const made: Bench = await bench(
    {
      async reply({ model, prompt }) {
        const { messages, prefill = '' } = prompt as { readonly messages: readonly Message[]; readonly prefill?: string };
        const [task, content] = messages.map((message) => message.content) as [string, string];
        const thing = world.things.find(({ name }) => content.includes(name))!.name;
        if (task === 'Judge.') return 'yes';
        if (task === 'Invent.') return `Tell me about the ${world.things[asked]!.kind} ${world.things[asked++]!.name}.`;
        if (task === 'Demand.') return content.replace('.\n', ' in ') + '.';
        if (task === 'Tell.') return tells(thing, await habitOf(made, model));
        const outline = content.split('\n').slice(1);
        return tells(thing, outline.length + 1).slice(prefill.length);
      },
    },
    { modules: bound.modules },
  );
  const { performed } = await runInMemory(recipes['self-lengthen']!, bound, (call) => made.perform(call));
  const facts = (path: string) => (performed.find(({ call }) => call.path === path)!.result as ReportRef).metrics['facts']!;
  const grown = ['evaluate-length-base', ...[1, 2, 3].map((n) => `r${n}/evaluate-length-generator`)].map(facts);
  t.deepEqual(grown, [1, 2, 3, 4]);
  t.deepEqual(
    [1, 2, 3].map((n) => facts(`r${n}/unextended/evaluate-length-generator`)),
    [1, 1, 1],
  );
  const { metrics } = performed.find(({ call }) => call.path === 'evaluate-quality-final')!.result as ReportRef;
  t.is(metrics['demandedTruth'], 1);
});
