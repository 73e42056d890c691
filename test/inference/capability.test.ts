import test from 'ava';
import { checkCapabilities } from '../../inference/capability.ts';
import { ModelClient } from '../../inference/client.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import type { Capability, Sampling } from '../../recipe/define.ts';
import { fakeOpenAI, troubles, type FakeOpenAI } from '../support/openai.ts';

const all: readonly Capability[] = ['chat', 'complete', 'prefill', 'score'];
const every: Partial<Sampling> = { temperature: 0.7, topP: 0.9, topK: 40, repetitionPenalty: 1.1, stop: ['\n'] };
const probed = (server: FakeOpenAI, capabilities = all, sampling = every) =>
  checkCapabilities(
    new ModelClient({ endpoint: () => Promise.resolve(server.endpoint), limiter: new FixedLimiter(2), pause: 1 }),
    'm',
    { capabilities, samplings: [sampling] },
    new AbortController().signal,
  );
type Choice = { message: object; prompt_logprobs: unknown[] };
const withChoice = (reply: Record<string, unknown>, change: (choice: Choice) => object) => ({
  ...reply,
  choices: (reply['choices'] as Choice[]).map((choice) => ({ ...choice, ...change(choice) })),
});

test('a server that gives everything passes, and nothing is asked that no step needs', async (t) => {
  const server = await fakeOpenAI(t);
  await probed(server);
  server.seen.length = 0;
  await probed(server, ['score']);
  t.false(server.seen.some(({ path }) => path === '/v1/chat/completions'));
  server.seen.length = 0;
  await probed(server, ['chat'], { temperature: 0.7 });
  const sent = server.seen.filter(({ path }) => path === '/v1/chat/completions').map(({ body }) => Object.keys(body));
  t.deepEqual(sent, [['model', 'messages', 'temperature', 'max_tokens', 'seed']]);
});

test('a field that is refused is named', async (t) => {
  const server = await fakeOpenAI(t);
  server.trouble.push(troubles.status(400, {}, "The field 'top_k' is not supported; leave it out."));
  await t.throwsAsync(probed(server), { name: 'CapabilityMissing', message: /chat.*'top_k'/ });
});

test('the check asks for as many tokens as `min_tokens` says, of which servers take no fewer', async (t) => {
  const server = await fakeOpenAI(t);
  server.gate = (request, response, reply, body) => {
    if (Number(body['min_tokens'] ?? 0) <= Number(body['max_tokens'])) return reply();
    troubles.status(400, {}, 'min_tokens must be less than or equal to max_tokens')(request, response);
  };
  await t.notThrowsAsync(probed(server, ['chat'], { temperature: 0.7, extra: { min_tokens: 100 } }));
});

test('a stop string that is ignored is noticed', async (t) => {
  const server = await fakeOpenAI(t);
  server.change = (path, reply) => (path === '/v1/chat/completions' ? withChoice(reply, () => ({ message: { content: 'ok' } })) : reply);
  await t.throwsAsync(probed(server), { name: 'CapabilityMissing', message: /stop/ });
});

for (const [field, name] of [
  ['topP', 'top_p'],
  ['topK', 'top_k'],
] as const) {
  test(`a ${field} that is ignored is noticed: what leaves one token to choose leaves nothing to the seed`, async (t) => {
    const server = await fakeOpenAI(t);
    let honours = true;
    server.change = (path, reply, body) => {
      if (path !== '/v1/chat/completions') return reply;
      const content = honours && [1, 1e-3].includes(body[name] as number) ? 'red' : String(body['seed']);
      return withChoice(reply, () => ({ message: { content } }));
    };
    const chat = () => probed(server, ['chat'], { temperature: 1, [field]: 1 });
    await t.notThrowsAsync(chat());
    honours = false;
    await t.throwsAsync(chat(), { name: 'CapabilityMissing', message: new RegExp(`"${field}"`) });
  });
}

test('log-probabilities of what comes next that are left out are noticed', async (t) => {
  const server = await fakeOpenAI(t);
  server.change = (path, reply, body) =>
    path === '/v1/completions' && 'logprobs' in body ? withChoice(reply, () => ({ logprobs: null })) : reply;
  await t.throwsAsync(probed(server, ['score']), { name: 'CapabilityMissing', message: /choices\.0\.logprobs/ });
});

test('prompt log-probabilities that are left out, or too few, are noticed', async (t) => {
  for (const change of [() => ({ prompt_logprobs: null }), (choice: Choice) => ({ prompt_logprobs: choice.prompt_logprobs?.slice(1) })]) {
    const server = await fakeOpenAI(t);
    server.change = (path, reply, body) => (path === '/v1/completions' && 'prompt_logprobs' in body ? withChoice(reply, change) : reply);
    await t.throwsAsync(probed(server, ['score']), { name: 'CapabilityMissing', message: /prompt_logprobs/ });
  }
});
