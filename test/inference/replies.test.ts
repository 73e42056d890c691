/** What servers leave out of a reply, or write in another way: it is read all the same, from the first reply on. */
import test from 'ava';
import { checkCapabilities } from '../../inference/capability.ts';
import { Rejected, Unavailable, Unusable } from '../../inference/client.ts';
import { fakeOpenAI, type FakeOpenAI } from '../support/openai.ts';
import { ask, asked, client, greedy, hello } from './asking.ts';

const whole = { message: { role: 'assistant', content: 'Four.' }, finish_reason: 'stop' };
const chat = (server: FakeOpenAI) => client(server, { tries: 2 }).chat('m', hello, greedy, ask);
const models = { data: [{ id: 'm' }] };

for (const [what, reply, text] of [
  ['nothing but a choice', { choices: [whole] }, 'Four.'],
  ['a usage that is null', { choices: [whole], usage: null }, 'Four.'],
  ['a usage that is no object', { choices: [whole], usage: 'none' }, 'Four.'],
  ['tokens that are no whole numbers', { choices: [whole], usage: { prompt_tokens: 1.5, completion_tokens: 'two' } }, 'Four.'],
  ['a second choice', { choices: [whole, { message: null }] }, 'Four.'],
  ['no content', { choices: [{ ...whole, message: { role: 'assistant', content: null } }] }, ''],
  ['bare texts for parts', { choices: [{ ...whole, message: { content: ['Fo', 'ur.'] } }] }, 'Four.'],
  ['a part without text', { choices: [{ ...whole, message: { content: [{ type: 'text', text: null }, 'Four.'] } }] }, 'Four.'],
  ['reasoning that is no text', { choices: [{ ...whole, message: { content: 'Four.', reasoning: { effort: 'low' } } }] }, 'Four.'],
] as const)
  test(`a first reply with ${what} is read`, async (t) => {
    const server = await fakeOpenAI(t);
    server.change = (path) => (path === '/v1/models' ? models : reply);
    t.deepEqual((await chat(server)).reply, { text, finish: 'stop' });
    await t.notThrowsAsync(checkCapabilities(client(server), 'm', { capabilities: ['chat'], samplings: [] }, ask.signal));
  });

test('tokens that a server does not count are estimated by their bytes, each kind by itself', async (t) => {
  const server = await fakeOpenAI(t);
  const counted = async (usage: unknown) => {
    server.change = (path) => (path === '/v1/models' ? models : { choices: [whole], usage });
    const { tokens, written } = await chat(server);
    return { read: tokens - written, written };
  };
  const estimate = await counted(undefined);
  t.is(estimate.written, Math.ceil('Four.'.length / 4));
  t.true(estimate.read > 0);
  t.deepEqual(await counted({ prompt_tokens: 3, completion_tokens: null }), { read: 3, written: estimate.written });
  t.deepEqual(await counted({ completion_tokens: 9 }), { read: estimate.read, written: 9 });
});

test('a completion without usage, or with a null for its text, is read', async (t) => {
  const server = await fakeOpenAI(t);
  const complete = async (text: string | null) => {
    server.change = (path) => (path === '/v1/models' ? models : { choices: [{ text, finish_reason: 'length' }] });
    return (await client(server).complete('m', { text: 'Two and two' }, greedy, ask)).reply.text;
  };
  t.deepEqual([await complete('are four'), await complete(null)], ['are four', '']);
});

test('thoughts among the parts of a reply stay apart from its text', async (t) => {
  const server = await fakeOpenAI(t);
  const reply = async (thinking: unknown) => {
    const content = [
      { type: 'thinking', thinking },
      { type: 'text', text: 'Four.' },
    ];
    server.change = (path) => (path === '/v1/models' ? models : { choices: [{ ...whole, message: { content } }] });
    return (await chat(server)).reply;
  };
  const thought = { text: 'Four.', finish: 'stop', reasoning: 'Two and two' };
  t.deepEqual(await reply('Two and two'), thought as never);
  t.deepEqual(await reply([{ type: 'text', text: 'Two and two' }]), thought as never);
});

test('an empty `reasoning_content` does not hide `reasoning`', async (t) => {
  const server = await fakeOpenAI(t);
  const message = { content: 'Four.', reasoning_content: '', reasoning: 'Two and two' };
  server.change = (path) => (path === '/v1/models' ? models : { choices: [{ ...whole, message }] });
  t.is((await chat(server)).reply.reasoning, 'Two and two');
});

test('ends by the names of other APIs are ends, cuts or refusals', async (t) => {
  const server = await fakeOpenAI(t);
  const end = async (finish: string) => {
    server.change = (path) => (path === '/v1/models' ? models : { choices: [{ ...whole, finish_reason: finish }] });
    return chat(server).then(
      ({ reply }) => reply.finish,
      (error: Error) => error.name,
    );
  };
  for (const finish of ['end_turn', 'COMPLETE', 'FINISH', 'endoftext', 'stop_sequence']) t.is(await end(finish), 'stop', finish);
  for (const finish of ['max_tokens', 'TOKEN_LIMIT', 'model_length', 'incomplete']) t.is(await end(finish), 'length', finish);
  for (const finish of ['SAFETY', 'content_filtered', 'refusal']) t.is(await end(finish), Rejected.name, finish);
  t.is(await end('insufficient_system_resource'), 'CapabilityMissing');
});

for (const [what, reply] of [
  ['of a gateway', { error: { message: 'slow down', code: 429 } }],
  ['with its code as a text', { error: { message: 'slow down', code: '429' } }],
  ['of vLLM of old', { object: 'error', message: 'slow down', code: 429 }],
  ['in a choice', { choices: [{ error: { message: 'slow down', code: 429 }, finish_reason: 'error', message: { content: '' } }] }],
] as const)
  test(`an error ${what} that comes as a success has the status that it names`, async (t) => {
    const server = await fakeOpenAI(t);
    server.change = (path, good) => (path === '/v1/models' ? models : asked(server).length === 1 ? reply : good);
    t.is((await chat(server)).reply.text, 'ok');
    server.change = (path) => (path === '/v1/models' ? models : reply);
    await t.throwsAsync(chat(server), { instanceOf: Unavailable, message: /has no room for .*: slow down$/ });
  });

test('a reply without choices cannot be used, and an error without a status says what it says', async (t) => {
  const server = await fakeOpenAI(t);
  server.change = (path) => (path === '/v1/models' ? models : {});
  await t.throwsAsync(chat(server), { instanceOf: Unusable, message: /choices is missing/ });
  server.change = (path) => (path === '/v1/models' ? models : { choices: [] });
  await t.throwsAsync(chat(server), { instanceOf: Unusable, message: /choices\.0 is missing/ });
  server.change = (path) => (path === '/v1/models' ? models : { error: 'no credit left' });
  await t.throwsAsync(chat(server), { instanceOf: Unusable, message: /it says: no credit left/ });
});
