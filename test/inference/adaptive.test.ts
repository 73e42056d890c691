import test from 'ava';
import { getEventListeners } from 'node:events';
import type { ExecutionContext } from 'ava';
import { AdaptiveLimiter, type AdaptiveOptions } from '../../inference/adaptive.ts';
import { ModelClient } from '../../inference/client.ts';
import { fakeOpenAI, troubles, type FakeOpenAI, type Trouble } from '../support/openai.ts';

const never = new AbortController().signal;
const turn = () => new Promise((next) => setImmediate(next));

async function remote(t: ExecutionContext, options: Partial<AdaptiveOptions> & { timeout?: number } = {}) {
  const server = await fakeOpenAI(t);
  const { timeout = 60_000, ...more } = options;
  const limiter = new AdaptiveLimiter({ maxInFlight: 64, requestsPerMinute: null, tokensPerMinute: null, maxPause: 1, ...more });
  const client = new ModelClient({ endpoint: () => Promise.resolve(server.endpoint), limiter, tries: 1, timeout });
  const ask = (n: number, signal = never) =>
    client.chat('m', [{ role: 'user', content: `${n}` }], { temperature: 0, maxTokens: 16 }, { seed: 7, requestId: `${n}`, signal });
  const many = (count: number, from = 0) => Promise.all(Array.from({ length: count }, (_, n) => ask(from + n)));
  const held = async () => {
    while (limiter.pace.held === null) await turn();
    return limiter.pace.held;
  };
  return { server, limiter, ask, many, held };
}
/** How often each request came. */
const counts = ({ seen }: FakeOpenAI) =>
  [
    ...Map.groupBy(
      seen.filter(({ path }) => path !== '/v1/models'),
      ({ id }) => id,
    ).values(),
  ].map((all) => all.length);
const asked = (server: FakeOpenAI) => counts(server).reduce((sum, count) => sum + count, 0);

for (const places of [1, 3, 24]) {
  test(`what a server of ${places} places takes is found at under 1.3 requests an answer, and none is lost`, async (t) => {
    const { server, many } = await remote(t, { maxInFlight: 256 });
    let running = 0;
    server.gate = (_, response, reply) => {
      if (running === places) return troubles.status(429)(_, response);
      running++;
      setTimeout(() => {
        running--;
        reply();
      }, 4);
    };
    const answers = await many(40 * places + 200);
    t.true(answers.every(({ reply }) => reply.text === 'ok'));
    t.true(asked(server) < 1.3 * answers.length, `${asked(server)} requests for ${answers.length} answers`);
  });
}

test('a server that refuses nothing is asked more and more at once, up to the limit', async (t) => {
  const { limiter, many } = await remote(t, { maxInFlight: 24 });
  t.is(limiter.pace.limit, 4);
  await many(400);
  t.is(limiter.pace.limit, 24);
});

test('a server that answers nothing is tried by one request at a time', async (t) => {
  const { server, limiter, many, held } = await remote(t);
  await many(30);
  let [running, over] = [0, false];
  const atOnce: number[] = [];
  server.gate = (request, response, reply) => {
    if (over) return reply();
    atOnce.push(++running);
    setTimeout(() => {
      running--;
      troubles.status(500)(request, response);
    }, 2);
  };
  const waiting = many(60, 30);
  await held();
  while (limiter.pace.inFlight > 1) await turn();
  const before = atOnce.length;
  while (atOnce.length < before + 5) await turn();
  over = true;
  await waiting;
  t.true(Math.max(...atOnce) > 1);
  t.deepEqual(atOnce.slice(before + 1, before + 5), [1, 1, 1, 1]);
});

test('a Retry-After is waited for by all', async (t) => {
  const { server, many } = await remote(t, { maxInFlight: 1 });
  await many(1);
  const arrivals: number[] = [];
  server.gate = (_request, _response, reply) => {
    arrivals.push(performance.now());
    reply();
  };
  server.trouble.push((request, response) => {
    arrivals.push(performance.now());
    troubles.status(429, { 'retry-after': '0.3' })(request, response);
  });
  await many(3, 1);
  t.true(arrivals[1]! - arrivals[0]! >= 299);
});

test('a server that is down holds every request, says why, and is tried by one at a time; once it is back, all go on and none is asked twice', async (t) => {
  const { server, limiter, many, held } = await remote(t);
  await many(20);
  await server.down();
  const waiting = many(50, 20);
  t.regex((await held()).why, /does not answer .*ECONNREFUSED/);
  while (limiter.pace.inFlight > 1) await turn();
  const { since } = await held();
  for (let i = 0; i < 200; i++) {
    t.true(limiter.pace.inFlight <= 1);
    await turn();
  }
  t.is((await held()).since, since);
  await server.up();
  t.is((await waiting).length, 50);
  t.is(limiter.pace.held, null);
  t.deepEqual(
    counts(server),
    Array.from({ length: 70 }, () => 1),
  );
});

const storms: Record<string, Trouble> = {
  'a black hole': troubles.silent,
  'a body that drips': troubles.dripping,
  'a reset': troubles.reset,
  'a truncated reply': troubles.truncated,
  '429 without a Retry-After': troubles.status(429),
  '429 with a Retry-After': troubles.status(429, { 'retry-after': '0.02' }),
  503: troubles.status(503),
  500: troubles.status(500),
};
for (const [what, storm] of Object.entries(storms)) {
  test(`a storm of ${what} holds all requests and loses none`, async (t) => {
    const { server, many, held } = await remote(t, { timeout: 150 });
    await many(8);
    let over = false;
    server.gate = (request, response, reply) => (over ? reply() : storm(request, response));
    const waiting = many(40, 8);
    await held();
    const refused = asked(server);
    while (asked(server) < refused + 5) await turn();
    over = true;
    t.true((await waiting).every(({ reply }) => reply.text === 'ok'));
  });
}

test('a request that alone fails is given up after four tries, and holds nobody', async (t) => {
  const { server, ask, many } = await remote(t);
  await many(1);
  server.gate = (request, response, reply) =>
    request.headers['x-request-id'] === '-1' ? troubles.status(500)(request, response) : reply();
  const lost = ask(-1);
  let over = false;
  const others = (async () => {
    for (let n = 1; !over; n += 10) await many(10, n);
  })();
  await t.throwsAsync(lost, { name: 'Down', message: /status 500/ });
  over = true;
  await others;
  t.is(server.seen.filter(({ id }) => id === '-1').length, 4);
});

for (const [what, headers] of [
  ['429', {}],
  ['429 with a long Retry-After for it alone', { 'retry-after': '0.2' }],
] as const)
  test(`a request that is always refused with ${what} is given up after a few tries with pauses, and neither slows nor stops the others`, async (t) => {
    const { server, limiter, ask, many } = await remote(t, { maxInFlight: 16 });
    await many(60);
    const { limit } = limiter.pace;
    const arrivals: number[] = [];
    server.gate = (request, response, reply) => {
      if (request.headers['x-request-id'] !== '-1') return void setTimeout(reply, 2);
      arrivals.push(performance.now());
      troubles.status(429, headers, 'Request too large')(request, response);
    };
    let over = false;
    let held = 0;
    const others = (async () => {
      for (let n = 100; !over; n += 20) {
        await many(20, n);
        if (limiter.pace.held) held++;
      }
    })();
    const lost = await t.throwsAsync(ask(-1), { name: 'Overloaded', message: /Request too large/ });
    t.like(lost, { isOwnFault: true });
    over = true;
    await others;
    t.is(arrivals.length, 8);
    t.is(held, 0);
    t.true(limiter.pace.limit >= limit / 2, `${limiter.pace.limit} of ${limit} places are left`);
    if ('retry-after' in headers) for (let n = 1; n < arrivals.length; n++) t.true(arrivals[n]! - arrivals[n - 1]! >= 199);
  });

test('a request that is refused while nobody else asks anything is given up if a small one is answered, and held if none is', async (t) => {
  const { server, ask, limiter } = await remote(t);
  await ask(0);
  let all = true;
  let small = 0;
  server.gate = (request, response, reply) => {
    const isSmall = request.headers['x-request-id'] === 'check/alive';
    if (isSmall) small++;
    if (isSmall && !all) reply();
    else troubles.status(429, {}, 'no')(request, response);
  };
  const lost = ask(1);
  while (small < 5) await turn();
  t.truthy(limiter.pace.held);
  all = false;
  await t.throwsAsync(lost, { name: 'Overloaded' });
});

test('an abort ends a wait for a server that is down, at once and without a trace', async (t) => {
  const { server, ask, many, held } = await remote(t, { maxPause: 60_000 });
  await many(1);
  server.gate = troubles.status(429, { 'retry-after': '60' });
  const abort = new AbortController();
  const waiting = Array.from({ length: 10 }, (_, n) => ask(n, abort.signal));
  await held();
  abort.abort(new Error('cancelled'));
  for (const one of waiting) await t.throwsAsync(one, { message: 'cancelled' });
  t.deepEqual(getEventListeners(abort.signal, 'abort'), []);
});

test('so many requests and tokens a minute, and no more', async (t) => {
  const requests = await remote(t, { requestsPerMinute: 6_000 });
  const began = performance.now();
  await requests.many(31);
  t.true(performance.now() - began >= 299);

  const tokens = await remote(t, { maxInFlight: 1, tokensPerMinute: 60_000 });
  const started = performance.now();
  const answers = await tokens.many(5);
  const cost = answers.slice(1).reduce((sum, answer) => sum + answer.tokens, 0);
  t.true(performance.now() - started >= cost - 1);
});

test('a refusal is told without the key, even if the server repeats it', async (t) => {
  const { server, ask } = await remote(t);
  server.trouble.push(troubles.status(401, {}, 'The key secret is not valid.'));
  const error = await t.throwsAsync(ask(1), { name: 'CapabilityMissing', message: /status 401: The key \(the key\) is not valid/ });
  t.false(JSON.stringify(error, Object.getOwnPropertyNames(error)).includes('secret'));
});
