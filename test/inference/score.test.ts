import test from 'ava';
import { fakeOpenAI, type FakeOpenAI } from '../support/openai.ts';
import { ask, asked, client } from './asking.ts';

test('a score is of the tokens of the continuation, without those that the tokenizer puts before every text', async (t) => {
  for (const beginning of [false, true]) {
    const server = await fakeOpenAI(t, { beginning });
    const { reply } = await client(server).score('m', { text: 'ab' }, ['cd'], ask);
    t.deepEqual(reply, [scoresOf('cd')]);
    t.deepEqual(asked(server).at(-1)!.body['prompt'], [...(beginning ? [999] : []), 97, 98, 99, 100]);
  }
});

const scoresOf = (text: string) => [...Buffer.from(text)].map((id) => ({ id, logprob: -id / 1000, entropy: null }));
const ratings = [' 1', ' 2', ' 3', ' 4', ' 5'];
const completions = (server: FakeOpenAI) => asked(server).filter(({ path }) => path === '/v1/completions');

test('continuations that differ in their last token are scored by one request, whose prompt holds what they share', async (t) => {
  for (const beginning of [false, true]) {
    const server = await fakeOpenAI(t, { beginning });
    const { reply } = await client(server).score('m', { text: 'Score:' }, ratings, ask);
    t.deepEqual(reply, ratings.map(scoresOf));
    t.is(completions(server).length, 1);
    t.deepEqual(completions(server)[0]!.body['prompt'], [...(beginning ? [999] : []), ...Buffer.from('Score: ')]);
    t.deepEqual((await client(server).score('m', { text: 'Score:' }, ['1', '2'], ask)).reply, ['1', '2'].map(scoresOf));
  }
});

test('one that is not among the likeliest is asked for by itself, with the same number', async (t) => {
  const server = await fakeOpenAI(t);
  server.likeliest = [...Buffer.from('abc 1 2 3')];
  t.deepEqual((await client(server).score('m', { text: 'Score:' }, ratings, ask)).reply, ratings.map(scoresOf));
  t.deepEqual(
    completions(server).map(({ body }) => String.fromCharCode(...(body['prompt'] as number[]))),
    ['Score: ', 'Score: 4', 'Score: 5'],
  );
});

test('continuations that differ in more than a token are each a request, one after the other', async (t) => {
  const server = await fakeOpenAI(t);
  let [open, most] = [0, 0];
  server.gate = (request, _, reply) => {
    if (request.url !== '/v1/completions') return reply();
    most = Math.max(most, ++open);
    setImmediate(() => {
      open--;
      reply();
    });
  };
  t.deepEqual((await client(server).score('m', { text: 'ab' }, ['c', 'de', ''], ask)).reply, ['c', 'de', ''].map(scoresOf));
  t.deepEqual([completions(server).length, most], [3, 1]);
});

test('what many records are compared by is tokenised once', async (t) => {
  const server = await fakeOpenAI(t);
  const model = client(server);
  for (const text of ['a', 'b', 'c']) await model.score('m', { text }, ratings, ask);
  const tokenised = asked(server).flatMap(({ path, body }) => (path === '/tokenize' ? [body['prompt']] : []));
  t.is(tokenised.length, 1 + ratings.length + 3);
  t.is(new Set(tokenised).size, tokenised.length);
});
