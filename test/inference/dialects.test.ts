/** The fields by which servers differ: structured outputs, names that some refuse, reasoning apart from the reply. */
import { once } from 'node:events';
import { createServer, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { checkCapabilities } from '../../inference/capability.ts';
import type { Dialect } from '../../inference/fields.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import { ModelClient, Rejected } from '../../inference/client.ts';
import type { Sampling } from '../../recipe/define.ts';
import { fakeOpenAI, troubles, type FakeOpenAI } from '../support/openai.ts';
import { ask, asked, client, greedy, hello } from './asking.ts';

const chat = '/v1/chat/completions';
const choice = ['yes', 'no'];
const schema = { type: 'object', properties: { score: { type: 'integer' } }, required: ['score'] };
const sent = async (server: FakeOpenAI, sampling: Sampling, dialect: Dialect) => {
  await client(server, { dialect }).chat('m', hello, sampling, ask);
  const { model: _, messages: __, temperature: ___, max_tokens: ____, seed: _____, ...rest } = asked(server).at(-1)!.body;
  return rest;
};
const saying = (server: FakeOpenAI, choices: (body: Record<string, unknown>) => object) =>
  (server.change = (path, reply, body) => (path === chat ? { ...reply, choices: [choices(body)] } : reply));

test('all of sampling is sent by the names of OpenAI and vLLM, and fields of `extra` as they are', async (t) => {
  const server = await fakeOpenAI(t);
  const extra = { logit_bias: { 7: -1 }, reasoning_effort: 'low' };
  const sampling = { ...greedy, minP: 0.1, presencePenalty: 0.5, frequencyPenalty: -0.5, extra };
  t.deepEqual(await sent(server, sampling, {}), { min_p: 0.1, presence_penalty: 0.5, frequency_penalty: -0.5, ...extra });
});

test('a choice or a schema is sent in the form that the server has, and not at all to one that has none', async (t) => {
  const server = await fakeOpenAI(t);
  const [chosen, formed] = [
    { ...greedy, choice },
    { ...greedy, schema },
  ];
  t.deepEqual(await sent(server, chosen, {}), {});
  t.deepEqual(await sent(server, formed, { structured: 'choice' }), {});
  t.deepEqual(await sent(server, chosen, { structured: 'choice' }), { structured_outputs: { choice } });
  t.deepEqual(await sent(server, chosen, { structured: 'structured_outputs' }), { structured_outputs: { choice } });
  t.deepEqual(await sent(server, formed, { structured: 'structured_outputs' }), { structured_outputs: { json: schema } });
  const format = async (sampling: Sampling) => (await sent(server, sampling, { structured: 'response_format' }))['response_format'];
  t.like(await format(formed), { type: 'json_schema', json_schema: { schema } });
  await t.throwsAsync(format({ ...greedy, schema: true }), { message: /`schema: true` in sampling .*, and this operator has none/ });
  t.like(await format(chosen), { json_schema: { schema: { type: 'object', properties: { choice: { enum: choice } } } } });
});

test('a choice that comes as JSON is the text that it holds', async (t) => {
  const server = await fakeOpenAI(t);
  const text = async (content: string) => {
    saying(server, () => ({ message: { content }, finish_reason: 'stop' }));
    return (await client(server, { dialect: { structured: 'response_format' } }).chat('m', hello, { ...greedy, choice }, ask)).reply.text;
  };
  t.is(await text('{ "choice": "no" }'), 'no');
  t.is(await text('{ "cho'), '{ "cho');
});

test('a server that ignores structured outputs lacks a capability, and one that has none is not asked', async (t) => {
  const server = await fakeOpenAI(t);
  const check = (sampling: Partial<Sampling>, structured: Dialect['structured'] = 'structured_outputs') =>
    checkCapabilities(
      client(server, { dialect: { structured: structured ?? null } }),
      'm',
      { capabilities: ['chat'], samplings: [sampling] },
      ask.signal,
    );
  await t.throwsAsync(check({ choice }), { name: 'CapabilityMissing', message: /"choice"/ });
  await t.throwsAsync(check({ schema }), { name: 'CapabilityMissing', message: /"schema"/ });
  await t.throwsAsync(check({ schema: true }), { name: 'CapabilityMissing', message: /"schema"/ });
  await t.notThrowsAsync(check({ choice }, null));
  await t.notThrowsAsync(check({ schema }, 'choice'));
  saying(server, ({ structured_outputs: outputs = {} }) => {
    const { choice, json } = outputs as { choice?: string[]; json?: { properties: { odd?: { enum: string[] } } } };
    const content = choice?.[0] ?? JSON.stringify({ odd: json?.properties.odd?.enum[1] });
    return { message: { content }, finish_reason: 'stop' };
  });
  await t.notThrowsAsync(check({ choice }));
  await t.notThrowsAsync(check({ schema }));
  await t.notThrowsAsync(check({ schema: true }));
});

const openAI = (field: string, remedy: string) =>
  troubles.status(400, {}, `Unsupported parameter: '${field}' is not supported with this model. ${remedy}`);

test('what a server refuses by name is learnt once: max_completion_tokens, and no seed', async (t) => {
  const server = await fakeOpenAI(t);
  const one = client(server, { dialect: { adapts: true } });
  const mistral = JSON.stringify({ error: { message: { detail: [{ type: 'extra_forbidden', loc: ['body', 'seed'] }] } } });
  server.trouble.push(openAI('max_tokens', "Use 'max_completion_tokens' instead."), (_, response) => response.writeHead(422).end(mistral));
  await one.chat('m', hello, greedy, ask);
  await one.chat('m', hello, greedy, ask);
  const fields = asked(server).map(({ body: { model: _, messages: __, ...rest } }) => rest);
  const learnt = { temperature: 0, max_completion_tokens: 16 };
  t.deepEqual(fields, [{ temperature: 0, max_tokens: 16, seed: 7 }, { ...learnt, seed: 7 }, learnt, learnt]);
});

test('a server of ours is not learnt from: its refusal is of the record', async (t) => {
  const server = await fakeOpenAI(t);
  server.trouble.push(openAI('seed', ''));
  await t.throwsAsync(client(server).chat('m', hello, greedy, ask), { instanceOf: Rejected });
});

test('a setting that changes what is sampled is left out only if the file says so, and its refusal says how', async (t) => {
  const server = await fakeOpenAI(t);
  server.trouble.push(openAI('temperature', 'Only the default (1) value is supported.'));
  await t.throwsAsync(client(server, { dialect: { adapts: true } }).chat('m', hello, greedy, ask), {
    instanceOf: Rejected,
    message: /`omit: \[temperature\]`/,
  });
  const omit = ['temperature', 'topP'] as const;
  await client(server, { dialect: { omit } }).chat('m', hello, { ...greedy, topP: 0.5, topK: 3 }, ask);
  t.deepEqual(Object.keys(asked(server).at(-1)!.body), ['model', 'messages', 'max_tokens', 'seed', 'top_k']);
});

for (const [what, message, reply] of [
  ['reasoning_content', { content: 'Four.', reasoning_content: 'Two and two' }, { text: 'Four.', reasoning: 'Two and two' }],
  ['reasoning', { content: 'Four.', reasoning: 'Two and two' }, { text: 'Four.', reasoning: 'Two and two' }],
  ['no content', { content: null, reasoning_content: 'Two and' }, { text: '', reasoning: 'Two and' }],
  ['a message without content', { role: 'assistant' }, { text: '' }],
  [
    'parts',
    {
      content: [
        { type: 'thinking', thinking: [] },
        { type: 'text', text: 'Fo' },
        { type: 'output_text', text: 'ur.' },
      ],
    },
    { text: 'Four.' },
  ],
] as const)
  test(`a reply with ${what} is read: text is data, reasoning stays apart`, async (t) => {
    const server = await fakeOpenAI(t);
    saying(server, () => ({ message, finish_reason: 'length' }));
    t.deepEqual((await client(server).chat('m', hello, greedy, ask)).reply, { finish: 'length', ...reply } as never);
  });

test('requests go through the proxy of the environment, except to the hosts of NO_PROXY, and those to servers of ours never', async (t) => {
  const server = await fakeOpenAI(t);
  let forwarded = 0;
  const proxy = createServer((request, response) => {
    forwarded++;
    const { method, headers } = request;
    request.pipe(sendRequest(request.url!, { method, headers }, (reply) => reply.pipe(response)));
  }).listen(0, '127.0.0.1');
  t.teardown(() => (proxy.close(), proxy.closeAllConnections()));
  await once(proxy, 'listening');
  const before = { ...process.env };
  t.teardown(() => (process.env = before));
  process.env['HTTP_PROXY'] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const requests = async (noProxy: string, proxied: boolean) => {
    process.env['NO_PROXY'] = noProxy;
    const endpoint = () => Promise.resolve(server.endpoint);
    await new ModelClient({ endpoint, limiter: new FixedLimiter(1), proxied }).chat('m', hello, greedy, ask);
    return forwarded;
  };
  t.is(await requests('127.0.0.1', true), 0);
  t.is(await requests('', false), 0);
  t.true((await requests('', true)) > 0);
});
