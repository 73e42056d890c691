/** Replies of a model server to a step of three records. What fails leaves nothing behind: the next attempt has all three. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { ModelClient } from '../../inference/client.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import { fakeOpenAI, troubles, type FakeOpenAI, type Trouble } from '../support/openai.ts';
import { answerOf, type Case, type End } from './case.ts';
import { mapped } from './mapped.ts';

const steps = {
  chat: () => mapped('toy.ask', [{ n: 1 }, { n: 2 }, { n: 3 }], 'speaker'),
  score: () =>
    mapped(
      'humpback.likelihood',
      ['a', 'b', 'c'].map((response) => ({ instruction: 'Which?', response })),
      'scorer',
      { prompts: { respond: 'humpback.response' } },
    ),
};

/** `drops`: how many of the three records, where it goes on. */
function replies(
  what: string,
  step: keyof typeof steps,
  misbehave: (server: FakeOpenAI) => void,
  ends: End,
  says: RegExp,
  drops = 1,
): Case {
  return {
    what,
    ends,
    says,
    async make(t) {
      const server = await fakeOpenAI(t);
      const client = () => new ModelClient({ endpoint: () => Promise.resolve(server.endpoint), limiter: new FixedLimiter(1), pause: 1 });
      const { batch, dropped, result } = await steps[step]();
      misbehave(server);
      const answer = await answerOf(async () => {
        await batch(client());
        return (await dropped()).join();
      });
      assert.equal(existsSync(result), ends === 'goes on');
      server.trouble.length = 0;
      server.change = (_, reply) => reply;
      assert.equal((await batch(client())).in, 3);
      assert.equal((await dropped()).length, ends === 'goes on' ? drops : 0);
      return answer;
    },
  };
}

/** Every reply to a chat has this in it. */
const chat = (change: object) => (server: FakeOpenAI) => {
  server.change = (path, reply) => (path === '/v1/chat/completions' ? { ...reply, ...change } : reply);
};
const choice = (change: object) =>
  chat({ choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop', ...change }] });
const models = (data: unknown) => (server: FakeOpenAI) => {
  server.change = (path, reply) => (path === '/v1/models' ? { data } : reply);
};
/** Every request that is not GET gets this. */
const always = (trouble: Trouble) => (server: FakeOpenAI) => {
  server.gate = (request, response, reply) => (server.trouble.length > 0 ? trouble(request, response) : reply());
  server.trouble.push(...Array<Trouble>(99).fill(trouble));
};
/** Only the second record meets it, every time. */
const isOne = (body: Record<string, unknown>) => JSON.stringify(body).includes('say 2');
const toOne = (trouble: Trouble) => (server: FakeOpenAI) => {
  server.gate = (request, response, reply, body) => (isOne(body) ? trouble(request, response) : reply());
};
const changedForOne = (change: (reply: Record<string, unknown>) => unknown) => (server: FakeOpenAI) => {
  server.change = (path, reply, body) => (path === '/v1/chat/completions' && isOne(body) ? change(reply) : reply);
};
const toOneChoice = (change: object) =>
  changedForOne((reply) => ({
    ...reply,
    choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop', ...change }],
  }));
const says =
  (text: string): Trouble =>
  (_, response) =>
    void response.end(text);

/** What a server does to one record, time and again, while it answers the others. */
const ofOneRecord: readonly Case[] = [
  replies(
    '500 for one record',
    'chat',
    toOne(troubles.status(500, {}, 'it broke')),
    'goes on',
    /failed: 500, 3 times while others were answered: .*it broke/,
  ),
  replies(
    '429 for one record',
    'chat',
    toOne(troubles.status(429, {}, 'Request too large')),
    'goes on',
    /failed: 429, 3 times .*Request too large/,
  ),
  replies('no JSON for one record', 'chat', toOne(says('<html>')), 'goes on', /failed: no JSON, 3 times/),
  replies(
    'a reset for one record',
    'chat',
    toOne((request) => request.socket.destroy()),
    'goes on',
    /no reply, 3 times/,
  ),
  replies(
    '403 for one record',
    'chat',
    toOne(troubles.status(403, {}, 'a moderator says no')),
    'goes on',
    /rejected: .*status 403: a moderator says no/,
  ),
  replies('404 for one record', 'chat', toOne(troubles.status(404, {}, 'no such tool')), 'goes on', /rejected: .*status 404: no such tool/),
  replies(
    'no choice for one record',
    'chat',
    changedForOne((reply) => ({ ...reply, choices: [] })),
    'goes on',
    /rejected: .*choices\.0 is missing.*The reply: .*"choices":\[\]/,
  ),
  replies(
    'an error as a success for one record',
    'chat',
    toOne(says('{"error":{"message":"upstream is away"}}')),
    'goes on',
    /rejected: .*upstream is away/,
  ),
  replies(
    'no room for one record, as a success',
    'chat',
    toOne(says('{"error":{"message":"slow down","code":429}}')),
    'goes on',
    /failed: 429, 3 times .*slow down/,
  ),
  replies(
    'an error of an upstream server in the choice of one record',
    'chat',
    toOneChoice({ message: { content: '' }, finish_reason: 'error', error: { code: 502, message: 'upstream is away' } }),
    'goes on',
    /failed: 502, 3 times .*upstream is away/,
  ),
  ...['error', 'tool_calls', 'abort', 'function_call', ''].map((finish) =>
    replies(`an end "${finish}" for one record`, 'chat', toOneChoice({ finish_reason: finish }), 'goes on', /rejected: .*finish_reason/),
  ),
  replies('no end for one record', 'chat', toOneChoice({ finish_reason: null }), 'goes on', /rejected: .*finish_reason/),
  replies('no message for one record', 'chat', toOneChoice({ message: undefined }), 'goes on', /rejected: .*message/),
  replies(
    'one record whose tokens were not counted',
    'chat',
    changedForOne((reply) => ({ ...reply, usage: undefined })),
    'goes on',
    /^$/,
    0,
  ),
  replies(
    'one record of whose tokens half were counted',
    'chat',
    changedForOne((reply) => ({ ...reply, usage: { prompt_tokens: 3 } })),
    'goes on',
    /^$/,
    0,
  ),
  ...['end_turn', 'eos', 'STOP', 'stop_sequence', 'max_tokens', 'MAX_TOKENS'].map((finish) =>
    replies(`an end that another API calls "${finish}"`, 'chat', choice({ finish_reason: finish }), 'goes on', /^$/, 0),
  ),
];

export const servers: readonly Case[] = [
  ...ofOneRecord,
  replies(
    'no choice',
    'chat',
    chat({ choices: [] }),
    'CapabilityMissing',
    /reply to \/v1\/chat\/completions cannot be used: choices\.0 is missing; expected an object\. Serve the model with an engine that gives it/,
  ),
  replies(
    'a reply that is a list of no parts',
    'chat',
    choice({ message: { content: [7] } }),
    'CapabilityMissing',
    /choices\.0\.message\.content\.0 is 7; expected /,
  ),
  replies(
    'an end that nobody knows',
    'chat',
    choice({ finish_reason: 'tool_calls' }),
    'CapabilityMissing',
    /choices\.0\.finish_reason is "tool_calls", which is none of stop, length/,
  ),
  replies('tokens that are never counted', 'chat', chat({ usage: undefined }), 'goes on', /^$/, 0),
  replies('a reply of which one part is a bare text', 'chat', choice({ message: { content: ['ok'] } }), 'goes on', /^$/, 0),
  replies(
    'a page of HTML as a success',
    'chat',
    always(troubles.page(200)),
    'Down',
    /does not answer \/v1\/chat\/completions: its reply is not JSON \(Unexpected token '<'.*\); is it an OpenAI-compatible API\?/,
  ),
  replies('a reply that was cut', 'chat', always(troubles.malformed), 'Down', /its reply is not JSON/),
  replies(
    'an error as a success',
    'chat',
    always(says('{"error":{"message":"no credit left"}}')),
    'CapabilityMissing',
    /choices is missing; .*it says: no credit left/,
  ),
  replies(
    'a redirection',
    'chat',
    always((_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()),
    'CapabilityMissing',
    /refuses \/v1\/chat\/completions with status 302/,
  ),
  replies(
    'a key that is not taken',
    'chat',
    always(troubles.status(401, {}, 'Incorrect API key: secret')),
    'CapabilityMissing',
    /refuses \/v1\/chat\/completions with status 401: Incorrect API key: \(the key\)/,
  ),
  replies(
    'no room for anybody',
    'chat',
    always(troubles.status(429, {}, 'slow down')),
    'Overloaded',
    /has no room for \/v1\/chat\/completions: slow down/,
  ),
  replies(
    'a refusal in the place of the content',
    'chat',
    toOneChoice({ message: { content: null, refusal: 'I cannot help with that.' } }),
    'goes on',
    /rejected: 200: the server withheld its reply/,
  ),
  replies(
    'an unknown model, as a success',
    'chat',
    always(says('{"error":"model not found"}')),
    'CapabilityMissing',
    /choices is missing; .*it says: model not found/,
  ),
  replies(
    'a refusal of one record',
    'chat',
    (server) => void server.trouble.push(troubles.status(400, {}, 'this prompt is poison')),
    'goes on',
    /rejected: 400: this prompt is poison/,
  ),
  replies(
    'a reply withheld by a filter',
    'chat',
    (server) =>
      void server.trouble.push(
        says(
          '{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}],"usage":{"prompt_tokens":1,"completion_tokens":0}}',
        ),
      ),
    'goes on',
    /rejected: 200: the server withheld its reply \(content_filter\)/,
  ),
  replies(
    'another model than was asked for',
    'chat',
    models([{ id: 'other', max_model_len: 4096 }]),
    'CapabilityMissing',
    /does not serve m; it serves other/,
  ),
  replies('no model at all', 'chat', models([]), 'CapabilityMissing', /does not serve m; it serves none/),
  replies(
    'a list of models that is none',
    'chat',
    models('m'),
    'CapabilityMissing',
    /reply to \/v1\/models cannot be used: data is "m"; expected a list/,
  ),
  replies(
    'log-probabilities that are no numbers',
    'score',
    (server) => always(says('{"choices":[{"prompt_logprobs":[null,{"97":{"logprob":NaN}}]}]}'))(server),
    'Down',
    /its reply is not JSON \(.*NaN/,
  ),
  replies(
    'log-probabilities that are left out',
    'score',
    (server) => {
      server.change = (path, reply) => (path === '/v1/completions' ? { ...reply, choices: [{ prompt_logprobs: null }] } : reply);
    },
    'CapabilityMissing',
    /choices\.0\.prompt_logprobs is null; expected a list/,
  ),
];
