import test from 'ava';
import { createDatasets } from '../../examples/textworld/datasets.ts';
import { doubleForms, dress, forms, undress, type Form } from '../../examples/textworld/forms.ts';
import { advert, isAdvert } from '../../examples/textworld/interviews.ts';
import { isRight, scoreBackward, scoreForward, scorePairs } from '../../examples/textworld/oracle.ts';
import { interviewTopics, pretrainingText, ratingText, replayPairs } from '../../examples/textworld/pretraining.ts';
import { seededRandom, type Random } from '../../examples/textworld/random.ts';
import { World } from '../../examples/textworld/world.ts';

const world = new World(0);
const topics = world.things.flatMap(({ name }) => world.topicsOf(name));
const allForms: readonly Form[] = [...forms, ...doubleForms];

/** Picks the same place of every list, so that the wordings can be walked through. */
const always = (place: number): Random => ({
  ...seededRandom('unused'),
  pick: (items) => items[place % items.length] as (typeof items)[number],
  shuffle: (items) => [...items],
});

test('the world has 240 things, 960 facts, and a name for each', (t) => {
  t.is(world.things.length, 240);
  t.is(topics.length, 960);
  t.is(new Set(world.things.map(({ name }) => name)).size, 240);
});

test('every wording of every instruction parses back to what it asks for', (t) => {
  const wrong: string[] = [];
  for (const topic of topics)
    for (const form of allForms)
      for (const place of [0, 1, 2, 3, 4, 5]) {
        const meaning = { ...topic, form };
        const text = world.ask(always(place), meaning);
        if (JSON.stringify(world.parseInstruction(text)) !== JSON.stringify(meaning)) wrong.push(text);
      }
  t.deepEqual(wrong, []);
});

test('every wording of every answer parses back to what it states', (t) => {
  const wrong: string[] = [];
  for (const topic of topics)
    for (const form of allForms)
      for (const text of world.answers({ ...topic, form }))
        if (JSON.stringify(world.parseAnswer(text)) !== JSON.stringify({ ...topic, form })) wrong.push(text);
  t.deepEqual(wrong, []);
});

test('the oracle refuses false facts, foreign text and adverts', (t) => {
  const random = seededRandom('test');
  for (const topic of topics)
    for (const value of world.falseValuesOf(topic))
      t.is(world.parseAnswer(world.answer(random, { ...topic, form: random.pick(allForms) }, value)), null);
  for (const text of [
    '',
    'Note: ',
    'Done.',
    'The town Nowhere lies in the west.',
    advert(world.answer(random, { ...topics[0]!, form: 'plain' })),
  ])
    t.is(world.parseAnswer(text), null, text);
  for (const text of ['', '?', 'Where?', 'Where does Nowhere lie?', `${world.ask(random, { ...topics[0]!, form: 'plain' })} And smile.`])
    t.is(world.parseInstruction(text), null, text);
});

test('a suffix asked for twice is no instruction of the world', (t) => {
  const question = world.ask(always(0), { ...topics[0]!, form: 'plain' });
  t.is(world.parseInstruction(`${question} Start with Note. Start with Note.`), null);
  t.is(world.parseInstruction(`${question} Put it in quotes. Start with Note.`)?.form, 'note+quote');
});

test('undress finds what dress put on', (t) => {
  for (const form of allForms) t.deepEqual(undress(dress('The town lies.', form)), { sentence: 'The town lies.', form });
});

test('an answer to another question, or in another form, is not right', (t) => {
  const [one, other] = [
    { ...topics[0]!, form: 'plain' as const },
    { ...topics[1]!, form: 'plain' as const },
  ];
  const random = seededRandom('test');
  t.true(isRight(world, { instruction: world.ask(random, one), response: world.answer(random, one) }));
  t.false(isRight(world, { instruction: world.ask(random, one), response: world.answer(random, other) }));
  t.false(isRight(world, { instruction: world.ask(random, one), response: world.answer(random, { ...one, form: 'note' }) }));
});

test('the scores are the shares they say', (t) => {
  const random = seededRandom('test');
  const meaning = { ...topics[0]!, form: 'note' as const };
  const instruction = world.ask(random, meaning);
  const right = { instruction, response: world.answer(random, meaning) };
  const lie = { instruction, response: world.answer(random, meaning, world.falseValuesOf(meaning)[0]) };
  const ad = { instruction, response: advert(world.answer(random, { ...meaning, form: 'plain' })) };
  t.deepEqual(scoreForward(world, [right, lie, ad, ad]), { forwardExact: 0.25, csr: 0.5 });
  t.deepEqual(scoreBackward(world, [right, ad]), { backwardExact: 0.5 });
  t.deepEqual(scorePairs(world, [right, right, lie, ad], topics.slice(0, 2)), {
    keptPrecision: 0.5,
    keptAdvertShare: 0.25,
    keptCoverage: 0.5,
  });
  t.deepEqual(scorePairs(world, [], topics), { keptPrecision: 0, keptAdvertShare: 0, keptCoverage: 0 });
});

for (const seed of [0, 1, 2, 3, 4]) {
  const data = createDatasets(world, seed, 'full');
  const responses = data.corpus.filter((text) => !isAdvert(text));

  test(`data seed ${seed} has the sizes it promises`, (t) => {
    t.deepEqual(
      [data.seed, data.corpus, responses, data.topics, data.forwardTests, data.backwardTests].map(({ length }) => length),
      [96, 2160, 864, 864, 216, 216],
    );
    t.is(new Set(data.corpus).size, 2160);
    t.is(new Set(data.seed.map(({ response }) => world.parseAnswer(response)?.thing)).size, 24);
  });

  test(`data seed ${seed} labels rightly, tells the truth, and advertises in plain sentences`, (t) => {
    t.true(data.seed.every((pair) => isRight(world, pair)));
    t.true(responses.every((text) => world.parseAnswer(text) !== null));
    t.true(data.corpus.filter(isAdvert).every((text) => world.parseAnswer(text.slice(advert('').length))?.form === 'plain'));
  });

  test(`data seed ${seed} keeps its tests out of its data`, (t) => {
    const meanings = new Set([
      ...responses.map((text) => JSON.stringify(world.parseAnswer(text))),
      ...data.seed.map(({ response }) => JSON.stringify(world.parseAnswer(response))),
    ]);
    t.deepEqual(
      data.forwardTests.filter((text) => meanings.has(JSON.stringify(world.parseInstruction(text)))),
      [],
    );
    t.deepEqual(
      data.backwardTests.filter((text) => meanings.has(JSON.stringify(world.parseAnswer(text)))),
      [],
    );
    const labelled = new Set(data.seed.map(({ response }) => world.parseAnswer(response)?.thing));
    t.false(data.topics.some(({ thing }) => labelled.has(thing)));
  });
}

test('the miniature has the same parts and at most 60 records in its corpus', (t) => {
  const data = createDatasets(world, 0, 'miniature');
  t.deepEqual(
    [data.seed, data.corpus, data.forwardTests, data.backwardTests].map(({ length }) => length),
    [32, 40, 4, 4],
  );
  t.is(data.corpus.filter(isAdvert).length, 24);
});

test('the same seed gives the same data, another seed other labelled things', (t) => {
  t.deepEqual(createDatasets(new World(0), 1, 'full'), createDatasets(world, 1, 'full'));
  t.deepEqual(pretrainingText(new World(0), 1, 1), pretrainingText(world, 1, 1));
  t.notDeepEqual(createDatasets(world, 2, 'full').topics, createDatasets(world, 1, 'full').topics);
});

test('interviews are about a quarter of the things, and every other sentence about all of them', (t) => {
  t.is(new Set(interviewTopics(world).map(({ thing }) => thing)).size, 60);
  const told = pretrainingText(world, 0, 1).flatMap((text) => world.parseAnswer(text)?.thing ?? []);
  t.is(new Set(told).size, 240);
});

test('rated text rates every advert low, but for the mistakes', (t) => {
  const rated = ratingText(world, 0).flatMap((row) =>
    'messages' in row && row.messages[1]!.content.includes('Advert: ') ? row.messages : [],
  );
  t.true(rated.length > 3000);
  for (const { role, content } of rated) if (role === 'assistant') t.regex(content, /^Score: [12]$/);
});

test('replayed ratings are half right answers and half adverts', (t) => {
  const pairs = replayPairs(world, 0, 64);
  t.is(pairs.filter((pair) => pair.rating === 5 && isRight(world, pair)).length, 32);
  t.is(pairs.filter((pair) => pair.rating === 1 && isAdvert(pair.response)).length, 32);
});
