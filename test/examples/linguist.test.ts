/** LINGUIST on the text world: what it would do, whether its utterances are as it says, and what a generator that never errs writes. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as testing, train as training } from '../../examples/textworld/utterances.ts';
import { World } from '../../examples/textworld/world.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { bracketed, parsed, slotsIn, WILDCARD } from '../../operators/linguist/grammar.ts';
import type { Sample } from '../../operators/linguist/records.ts';
import { runInMemory } from '../../recipe/memory.ts';
import type { Message, Tagged } from '../../recipe/index.ts';
import { plan } from '../../plan/planner.ts';
import type { DatasetRef, ReportRef } from '../../schemas/call.ts';
import { openServices } from '../../steps/services.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { bench } from '../support/memory.ts';

const FILE = join(import.meta.dirname, '../../examples/textworld/linguist.yaml');
const world = new World(0);
const utterances = (part: typeof training, each: number) => [...(part.rows({ seed: 0, each }, []) as Iterable<Tagged>)];

test('the experiment on the text world can run, and trains a generator for each novel intent and its students', async (t) => {
  const { bound } = await loadExperiment(FILE);
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-linguist-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  const trained = steps.flatMap(({ path, kind }) => (kind === 'train' ? path : []));
  t.deepEqual(trained.filter((path) => path.endsWith('generator')).toSorted(), ['RiverFish/generator', 'ShipCargo/generator']);
  t.is(trained.filter((path) => path.endsWith('student')).length, 2 * 2 * 3 * 2);
});

test('every utterance has a tag for each word, and a thing of the kind that its intent is about', (t) => {
  for (const part of [training, testing]) {
    const all = utterances(part, 40);
    t.is(all.length, 8 * 40);
    for (const { tokens, tags, intent } of all) {
      t.is(tokens.length, tags.length);
      const kind = /^[A-Z][a-z]+/.exec(intent)![0].toLowerCase();
      const at = tags.indexOf(`B-${kind}`);
      t.is(world.kindOf(tokens[at]!), kind as never);
      t.true(tags.filter((tag) => tag !== 'O').length <= 2);
    }
  }
  t.notDeepEqual(utterances(training, 40), utterances(testing, 40));
});

/** Writes an example of the request with the values that it asks for; for a wildcard, with that of the example. */
function writes(content: string): string {
  const [, include, examples] = /<include> (.*) <\/include>[^]*<examples>\n?([^]*?)\n?<\/examples>/.exec(content)!;
  const asked = slotsIn(parsed(include!)!);
  const numbers = (text: string) =>
    String(
      slotsIn(parsed(text)!)
        .map(({ type }) => type)
        .toSorted((a, b) => a - b),
    );
  const pattern = examples!.split('\n').find((line) => numbers(line) === numbers(include!));
  const valueOf = (number: number, value: string) => {
    const [wanted] = asked.find(({ type }) => type === number)!.words;
    return bracketed(number, wanted === WILDCARD ? value : wanted!);
  };
  return (pattern ?? include!).replaceAll(/\[(\d) (\S+) \]/g, (_, number: string, value: string) => valueOf(Number(number), value));
}

test('where the generator writes what it is asked for, what is accepted is right, and it alone is learnt beside the starters', async (t) => {
  const { bound } = await loadExperiment(FILE, ['parameters.intents=[TownMarket]', 'parameters.draws=1', 'parameters.target=20']);
  const { services, perform } = await bench(
    {
      reply: ({ prompt }) => writes((prompt as { readonly messages: readonly [Message] }).messages[0].content),
      tag: ({ tokens }) => ({ tags: tokens.map(() => 'O'), intent: 'TownMarket' }),
    },
    { modules: bound.modules },
  );
  const { performed } = await runInMemory(recipes['linguist']!, bound, perform);
  const result = (path: string) => performed.find(({ call }) => call.path === path)!.result;
  const last = performed.findLast(({ call }) => call.path.endsWith('/novel'))!.result as DatasetRef;
  let samples = 0;
  for await (const record of services.store.read(last)) {
    const { tokens, tags } = (record as { readonly value: Sample }).value;
    const [thing, value] = ['B-town', 'B-month'].map((tag) => tokens[tags.indexOf(tag)]);
    t.is(world.kindOf(thing!), 'town');
    if (value !== undefined) t.regex(value, /^[A-Z][a-z]+$/);
    samples++;
  }
  t.true(samples > 5);
  t.is(
    (result('TownMarket/draw-0/linguist/rows') as DatasetRef).rows - (result('TownMarket/draw-0/none/rows') as DatasetRef).rows,
    20 + samples,
  );
  t.like((result('none/spread') as ReportRef).metrics, { intentRecallMean: 1, localSlotF1Mean: 0, answeredMean: 1 });
});
