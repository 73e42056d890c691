/** vLLM as it is, under our supervision: two roles on one server, what is taken over, what is noticed, what is left behind. */
import test from 'ava';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelServer, type ServerOptions } from '../../devices/server.ts';
import { Slots } from '../../devices/slots.ts';
import { checkCapabilities } from '../../inference/capability.ts';
import { ModelClient } from '../../inference/client.ts';
import { FixedLimiter } from '../../inference/limiter.ts';
import { inSchema } from '../../operators/reply.ts';
import type { TokenScore } from '../../recipe/index.ts';
import { place, serving, until, type Place } from '../support/devices.ts';
import { engine, engineFor, makeWeights, processesOf, weights } from './support.ts';

const never = new AbortController().signal;
let scores: Record<string, number[]>;
test.before(() => {
  scores = makeWeights();
});

async function start(p: Place, served: ServerOptions['engine'], slots = poolOf(p)) {
  const slot = await slots.acquire(never, { key: 'serve.k', warm: served.warmth });
  const { health: _, ...options } = serving(p);
  const server = await ModelServer.start({ ...options, engine: served, slot, signal: never });
  const client = new ModelClient({ endpoint: (signal, silent) => server.endpoint(signal, silent), limiter: new FixedLimiter(20) });
  return { server, client, slot };
}
const poolOf = (p: Place) => new Slots({ home: p.home, pool: 'cpu', groups: [[]], reapAfter: 600_000 });
const sampling = { temperature: 1, topP: 0.9, topK: 10, repetitionPenalty: 1.1, stop: ['\n'] };
const prompt = { tokens: [2, 3, 4, 5, 6, 7, 8, 9] };
const ask = (id: number) => ({ seed: id, requestId: `r${id}`, signal: never });

async function agrees(t: import('ava').ExecutionContext, client: ModelClient, name: string) {
  const [reply] = (await client.score(name, prompt, [' the river of Ardo'], ask(0))).reply as [readonly TokenScore[]];
  t.is(reply.length, scores[name]!.length);
  for (const [i, { logprob }] of reply.entries())
    t.true(Math.abs(logprob - scores[name]![i]!) < 1e-3, `${name}: ${logprob} ${scores[name]![i]}`);
  const ratings = [' 1', ' 2', ' 3', ' 4', ' 5'];
  const together = (await client.score(name, prompt, ratings, ask(0))).reply;
  for (const [at, rating] of ratings.entries()) {
    const [alone] = (await client.score(name, prompt, [rating], ask(0))).reply;
    for (const [i, { id, logprob }] of together[at]!.entries())
      t.true(id === alone![i]!.id && Math.abs(logprob - alone![i]!.logprob) < 1e-4, `${name}${rating}: ${logprob} ${alone![i]!.logprob}`);
  }
}
/** So many answers to long questions, of which some are under way for as long as it takes. */
const answers = (client: ModelClient, model: string, count: number) =>
  Array.from({ length: count }, (_, i) =>
    client.chat(model, [{ role: 'user', content: `Where is ${i}?` }], { temperature: 1, maxTokens: 64 }, ask(i)),
  );

test('two adapters answer from one server, each as PEFT says, and the next lease of their base takes it over with another', async (t) => {
  const p = place(t);
  const pool = poolOf(p);
  const first = await start(p, engine('one', 'two'), pool);
  const { pgid } = p.record()!;
  for (const name of ['one', 'two', 'base']) {
    await checkCapabilities(first.client, name, { capabilities: ['chat', 'complete', 'prefill', 'score'], samplings: [sampling] }, never);
    await agrees(t, first.client, name);
  }
  await first.server.keepWarm();
  await first.slot[Symbol.asyncDispose]();

  const second = await start(p, engine('three', 'two'), pool);
  t.is(p.record()!.pgid, pgid);
  for (const name of ['three', 'two', 'base']) await agrees(t, second.client, name);
  const { url, key } = await second.server.endpoint(never);
  const reply = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  t.deepEqual(((await reply.json()) as { data: { id: string }[] }).data.map(({ id }) => id).sort(), ['base', 'three', 'two']);
  await second.server.stop();
  t.deepEqual([...processesOf(pgid!)], []);
});

test('an API server or an engine core that is killed, or stands still, loses no request and leaves no process', async (t) => {
  const p = place(t);
  for (const [victim, signal] of [
    ['server', 'SIGKILL'],
    ['VLLM::EngineCor', 'SIGKILL'],
    ['VLLM::EngineCor', 'SIGSTOP'],
  ] as const) {
    const { server, client } = await start(p, engine('one', 'two'));
    const { pgid } = p.record()!;
    const asked = [...answers(client, 'one', 40), ...answers(client, 'two', 40)];
    await Promise.race(asked);
    process.kill(processesOf(pgid!).get(victim)!, signal);
    t.is((await Promise.all(asked)).length, 80);
    t.not(p.record()!.pgid, pgid);
    t.deepEqual([...processesOf(pgid!)], [], `${signal} of ${victim}`);
    await server.leave(); // for the next, which adopts it and counts crashes anew
  }
  const last = await start(p, engine('one', 'two'));
  await last.server.stop();
});

test('with `schema: true` each reply is JSON of the schema by which an operator reads it', async (t) => {
  const p = place(t);
  const { server } = await start(p, engine('one'));
  const dialect = { structured: 'structured_outputs' } as const;
  const client = new ModelClient({ endpoint: (signal) => server.endpoint(signal), limiter: new FixedLimiter(20), dialect });
  const judgement = z.strictObject({ good: z.boolean(), score: z.literal([1, 2, 3, 4, 5]) });
  const asked = inSchema({ temperature: 1, maxTokens: 64, schema: true }, judgement);
  await checkCapabilities(client, 'one', { capabilities: ['chat'], samplings: [asked] }, never);
  const replies = await Promise.all(
    Array.from({ length: 8 }, (_, id) => client.chat('one', [{ role: 'user', content: `Rate ${id}.` }], asked, ask(id))),
  );
  for (const { reply } of replies)
    if (reply.finish === 'stop') t.notThrows(() => judgement.parse(JSON.parse(reply.text)), reply.text);
    else t.regex(reply.text, /^\s*\{/, 'a small model may fill a reply with white space');
  await server.stop();
});

test('an engine that dies of a request every time is given up, with what it said', async (t) => {
  const p = place(t);
  const { server, client } = await start(p, engineFor({ narrow: { folder: join(weights, 'narrow'), base: null } }));
  await t.throwsAsync(client.complete('narrow', { text: 'One' }, { temperature: 0, maxTokens: 2 }, ask(1)), { name: 'CrashLoop' });
  await server.stop();
  await until(() => p.record() === undefined);
});
