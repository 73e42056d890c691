import test from 'ava';
import { parseRating } from '../../operators/humpback/parse.ts';
import * as cycle from '../../examples/textworld/cycle.ts';
import * as textworld from '../../examples/textworld/module.ts';
import { replayPairs } from '../../examples/textworld/pretraining.ts';
import { World } from '../../examples/textworld/world.ts';

const full = { seed: 0, size: 'full' } as const;
const pair = { instruction: 'Where does Kelgor lie?', response: 'You find Kelgor in the west.' };

/** What a model trained with this row has seen before it had to say anything. */
const asked = (row: { readonly messages: readonly unknown[] }) => ({ messages: row.messages.slice(0, -1) });

test('each model is asked with the very turns it was trained on', (t) => {
  t.deepEqual(textworld.ask.render({ text: pair.response }), asked(textworld.toInstruction.render(pair)));
  for (const part of ['seed', 'augmented'])
    t.deepEqual(textworld.answer.render(pair), asked(textworld.toResponse.render({ ...pair, part })));
});

test('replayed rows show the judge its own prompt, and replies that it is parsed by', async (t) => {
  const rated = replayPairs(new World(0), 0, 240);
  const rows: (typeof pair)[] = [];
  for await (const row of textworld.replay.rows({ seed: 0, count: 240 }, [])) if ('response' in row) rows.push(row);
  t.is(rows.length, 240);
  t.true(textworld.toResponse.render({ ...pair, part: 'replay' }).weight! > 1, 'one token beside the dozen of an answer');
  t.is(textworld.toResponse.render({ ...pair, part: 'seed' }).weight, undefined);
  rows.forEach((row, index) => {
    t.deepEqual(textworld.rate.render(rated[index]!), asked(textworld.toResponse.render({ ...row, part: 'replay' })));
    t.is(parseRating(row.response), rated[index]!.rating);
  });
});

test('the loss is on the side that is to be learnt', (t) => {
  t.is(textworld.toInstruction.render(pair).messages.at(-1)?.content, pair.instruction);
  t.is(textworld.toResponse.render({ ...pair, part: 'seed' }).messages.at(-1)?.content, pair.response);
});

test('suites that know the truth say so, and a test without an answer counts as wrong', (t) => {
  t.true(textworld.forward.oracle && textworld.backward.oracle && textworld.pairs.oracle);
  const items = textworld.forward.items(full);
  t.is(items.length, 216);
  const unanswered = items.map((item) => ({ item, answer: undefined }));
  t.deepEqual(textworld.forward.measure(unanswered, full), { forwardExact: 0, csr: 0 });
  t.is(textworld.base.items({}).length, 180);
});

test('the text without labels has as many questions as true answers, told apart by question marks', async (t) => {
  const texts: string[] = [];
  for await (const row of cycle.texts.rows(full, [])) if ('text' in row) texts.push(row.text);
  const questions = texts.filter((text) => text.includes('?'));
  t.is(questions.length, 864);
  t.is(texts.length, 2 * 864);
  t.false(texts.some((text) => text.startsWith('Advert: ')));
  const given = { question: pair.instruction, answer: pair.response };
  t.deepEqual(cycle.answer.render(given), asked(cycle.toAnswer.render(given)));
  t.deepEqual(cycle.ask.render(given), asked(cycle.toQuestion.render(given)));
});
