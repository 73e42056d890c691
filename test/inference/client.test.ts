import test from 'ava';
import { getEventListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import { Rejected, TooLong } from '../../inference/client.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import { fakeOpenAI, troubles, type Trouble } from '../support/openai.ts';
import { ask, asked, client, greedy, hello } from './asking.ts';

test('a chat sends messages, sampling and seed under the key and the request id, and gives text, finish and tokens', async (t) => {
  const server = await fakeOpenAI(t);
  const sampling = { temperature: 0.7, topP: 0.9, topK: 40, repetitionPenalty: 1.1, maxTokens: 16, stop: ['\n'] };
  const { reply, tokens } = await client(server).chat('m', hello, sampling, ask);
  t.deepEqual(reply, { text: 'ok', finish: 'stop' });
  t.true(tokens > 2);
  t.deepEqual(asked(server), [
    {
      path: '/v1/chat/completions',
      id: ask.requestId,
      authorization: 'Bearer secret',
      body: {
        model: 'm',
        messages: hello,
        temperature: 0.7,
        max_tokens: 16,
        seed: 7,
        top_p: 0.9,
        top_k: 40,
        repetition_penalty: 1.1,
        stop: ['\n'],
      },
    },
  ] as never);
});

test('what the chat template takes is sent with a chat, with what counts its tokens, and with no raw text', async (t) => {
  const server = await fakeOpenAI(t);
  const sampling = { ...greedy, maxTokens: 4000, chatTemplateKwargs: { enable_thinking: false, budget: [1] } };
  const long = [{ role: 'user', content: 'hello '.repeat(2000) }] as const;
  const one = client(server);
  await one.chat('m', long, sampling, ask).catch(() => {});
  await one.chat('m', hello, sampling, ask);
  await one.complete('m', { messages: hello, prefill: 'Dear' }, sampling, ask);
  await one.complete('m', { text: 'hello' }, sampling, ask);
  const sent = asked(server).map(({ path, body }) => [path, body['chat_template_kwargs']]);
  t.deepEqual(sent.at(-1), ['/v1/completions', undefined]);
  t.true(sent.some(([path]) => path === '/tokenize'));
  for (const [path, kwargs] of sent.slice(0, -1)) t.deepEqual(kwargs, sampling.chatTemplateKwargs, path as string);
});

test('what sampling leaves open is not sent', async (t) => {
  const server = await fakeOpenAI(t);
  await client(server).complete('m', { text: 'hello' }, greedy, ask);
  t.deepEqual(asked(server)[0]!.body, { model: 'm', prompt: 'hello', temperature: 0, max_tokens: 16, seed: 7 });
});

test('a prefill opens the turn that the model goes on with', async (t) => {
  const server = await fakeOpenAI(t);
  await client(server).complete('m', { messages: hello, prefill: 'Dear' }, greedy, ask);
  t.like(asked(server)[0]!.body, {
    messages: { 1: { role: 'assistant', content: 'Dear' } },
    add_generation_prompt: false,
    continue_final_message: true,
  });
});

for (const [what, trouble] of Object.entries({
  429: troubles.status(429),
  408: troubles.status(408),
  500: troubles.status(500),
  'a proxy page': troubles.page(502),
  'a reset': troubles.reset,
  'malformed JSON': troubles.malformed,
  'a truncated reply': troubles.truncated,
})) {
  test(`after ${what} the same request is sent again`, async (t) => {
    const server = await fakeOpenAI(t);
    server.trouble.push(trouble, trouble, trouble);
    t.is((await client(server).chat('m', hello, greedy, ask)).reply.text, 'ok');
    const [first, ...again] = asked(server);
    t.deepEqual(again, [first, first, first] as never);
  });
}

test('the fourth failure in a row is Overloaded or Down', async (t) => {
  for (const [trouble, name, message] of [
    [troubles.status(429), 'Overloaded', /status 429/],
    [troubles.status(503), 'Overloaded', /status 503/],
    [troubles.status(500), 'Down', /status 500/],
    [troubles.reset, 'Down', /other side closed/],
    [troubles.malformed, 'Down', /JSON/],
  ] as const) {
    const server = await fakeOpenAI(t);
    server.trouble.push(trouble, trouble, trouble, trouble);
    await t.throwsAsync(client(server).chat('m', hello, greedy, ask), { name, message });
    t.is(asked(server).length, 4);
  }
});

test('a 400 is the fault of the record: Rejected at once, with what the server said', async (t) => {
  const server = await fakeOpenAI(t);
  server.trouble.push(troubles.status(400, {}, 'no such thing'));
  const error = await t.throwsAsync(client(server).chat('m', hello, greedy, ask), { instanceOf: Rejected, message: 'no such thing' });
  t.is(error.status, 400);
  t.is(asked(server).length, 1);
});

test('a refused key is never the fault of the record', async (t) => {
  const server = await fakeOpenAI(t);
  server.trouble.push(...Array.from({ length: 4 }, () => troubles.status(401)));
  await t.throwsAsync(client(server).chat('m', hello, greedy, ask), { name: 'CapabilityMissing', message: /401/ });
});

test("the server's Retry-After is waited for", async (t) => {
  const server = await fakeOpenAI(t);
  const model = client(server);
  await model.chat('m', hello, greedy, ask);
  server.trouble.push(troubles.status(429, { 'retry-after': '0.3' }));
  const started = performance.now();
  await model.chat('m', hello, greedy, ask);
  t.true(performance.now() - started >= 299);
});

test('a reply that drips past its deadline is given up and asked again', async (t) => {
  const server = await fakeOpenAI(t);
  server.trouble.push(troubles.dripping, troubles.silent);
  t.is((await client(server, { timeout: 200 }).chat('m', hello, greedy, ask)).reply.text, 'ok');
  t.is(asked(server).length, 3);
});

test('over restarts of the server a request is tried without end, and waits while there is none', async (t) => {
  const server = await fakeOpenAI(t);
  let restarts = 0;
  let up = () => {};
  const endpoint = async () => {
    if (++restarts === 8) await new Promise<void>((resolve) => (up = resolve));
    return { ...server.endpoint };
  };
  server.trouble.push(...Array.from({ length: 7 }, () => troubles.reset));
  const model = client(server, { endpoint });
  const reply = model.complete('m', { tokens: [1, 2] }, greedy, ask);
  while (restarts < 8) await new Promise((next) => setImmediate(next));
  const before = server.seen.length;
  up();
  t.is((await reply).reply.text, 'ok');
  t.true(server.seen.length > before);
});

test('a server that was given up ends the request with its error', async (t) => {
  const server = await fakeOpenAI(t);
  await t.throwsAsync(client(server, { endpoint: () => Promise.reject(new Error('crash loop')) }).chat('m', hello, greedy, ask), {
    message: 'crash loop',
  });
});

test('an abort ends a request in flight, a pause, and a wait for the limiter, and leaves no listener', async (t) => {
  for (const trouble of [troubles.silent, troubles.status(429, { 'retry-after': '60' })]) {
    const server = await fakeOpenAI(t);
    const model = client(server, { limiter: new FixedLimiter(1) });
    await model.chat('m', hello, greedy, ask);
    server.trouble.push(trouble);
    const abort = new AbortController();
    const one = model.chat('m', hello, greedy, { ...ask, signal: abort.signal });
    const other = model.chat('m', hello, greedy, { ...ask, signal: abort.signal });
    while (asked(server).length < 2) await new Promise((next) => setImmediate(next));
    abort.abort(new Error('cancelled'));
    await t.throwsAsync(one, { message: 'cancelled' });
    await t.throwsAsync(other, { message: 'cancelled' });
    t.is(asked(server).length, 2);
    t.deepEqual(getEventListeners(abort.signal, 'abort'), []);
  }
});

test('as many requests are in flight as the limit, and no more', async (t) => {
  const server = await fakeOpenAI(t);
  const model = client(server, { limiter: new FixedLimiter(3) });
  const held: ServerResponse[] = [];
  server.trouble.push(...Array.from({ length: 12 }, (): Trouble => (_, response) => void held.push(response)));
  const all = Array.from({ length: 12 }, () => model.chat('m', hello, greedy, ask));
  for (let left = 12; left > 0; left--) {
    while (held.length < Math.min(3, left)) await new Promise((next) => setImmediate(next));
    t.true(held.length <= 3);
    held.shift()!.end(
      JSON.stringify({
        choices: [{ message: { content: 'ok' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 1 },
      }),
    );
  }
  await Promise.all(all);
  t.is(asked(server).length, 12);
});

test('a short prompt costs no count; a long one is counted, and is too long only when it is', async (t) => {
  const server = await fakeOpenAI(t, { context: 200 });
  const model = client(server);
  const paths = async (length: number, maxTokens: number) => {
    server.seen.length = 0;
    await model.complete('m', { text: 'x'.repeat(length) }, { temperature: 0, maxTokens }, ask);
    return asked(server).map(({ path }) => path);
  };
  t.deepEqual(await paths(100, 36), ['/v1/completions']);
  t.deepEqual(await paths(100, 37), ['/tokenize', '/v1/completions']);
  t.deepEqual(await paths(100, 100), ['/tokenize', '/v1/completions']);
  await t.throwsAsync(paths(100, 101), { instanceOf: TooLong, message: /100 tokens.*101.*200/ });
  t.deepEqual(
    asked(server).map(({ path }) => path),
    ['/tokenize'],
  );
  await t.throwsAsync(model.score('m', { text: 'x'.repeat(150) }, ['y'.repeat(51)], ask), { instanceOf: TooLong });
});

test('a reply without a field that is needed names it, and is not asked for again', async (t) => {
  const server = await fakeOpenAI(t);
  const model = client(server);
  server.change = (path, reply) => (path === '/v1/chat/completions' ? { ...reply, choices: undefined } : reply);
  await t.throwsAsync(model.chat('m', hello, greedy, ask), { name: 'CapabilityMissing', message: /choices is missing/ });
  t.is(asked(server).length, 1);
});

test('a model that is not served is named with those that are', async (t) => {
  await t.throwsAsync(client(await fakeOpenAI(t)).chat('other', hello, greedy, ask), {
    name: 'CapabilityMissing',
    message: /does not serve other; it serves m\./,
  });
});

test('what a server can hold is asked for once, however many requests wait for it, and again where who asked has gone', async (t) => {
  const server = await fakeOpenAI(t);
  const one = client(server, { limiter: new FixedLimiter(50) });
  const gone = new AbortController();
  const first = one.chat('m', hello, greedy, { ...ask, signal: gone.signal });
  const others = Array.from({ length: 40 }, () => one.chat('m', hello, greedy, ask));
  gone.abort(new Error('gone'));
  await t.throwsAsync(first, { message: 'gone' });
  for (const { reply } of await Promise.all(others)) t.is(reply.text, 'ok');
  const times = server.seen.filter(({ path }) => path === '/v1/models').length;
  t.true(times >= 1 && times <= 2, `${times} times`);
});
