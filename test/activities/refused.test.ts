/** A training through the real trainer, whose tokenizer, chat template and length refuse some of its rows. */
import test from 'ava';
import { MockActivityEnvironment } from '@temporalio/testing';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { gpuActivities } from '../../activities/gpu.ts';
import { resolve } from '../../steps/resolve.ts';
import { makeLifeline } from '../../devices/lifeline.ts';
import { Slots } from '../../devices/slots.ts';
import type { StepCall, ModelRef } from '../../schemas/call.ts';
import type { LedgerEntry } from '../../schemas/experiment.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, put, read, record } from '../support/store.ts';

const made = await bench({ reply: () => '' });
const { services, context } = made;
const { store } = services;
const base = await store.putModel(resolvePath(import.meta.dirname, '../../examples/textworld/base/plain'), aboutModel);
const slots = new Slots({ home: services.home, pool: 'cpu', groups: [[]] });
const lifeline = makeLifeline(join(await mkdtemp(join(tmpdir(), 'backspin-')), 'lifeline'));
test.after.always(async () => {
  await slots.close();
  lifeline.close();
});
const activities = gpuActivities({ services, slots, timeSlice: 600_000, connections: [], namespace: 'default', lifeline: lifeline.path });

const said = (answer: string) => ({
  messages: [
    { role: 'user', content: 'What of it?' },
    { role: 'assistant', content: answer },
  ],
});
const sound = Array.from({ length: 5 }, (_, n) => said(`It is number ${n}.`));
const odd = [said('\n \n'), said('long '.repeat(200)), { messages: [{ role: 'user', content: 'Nobody answers.' }] }];

async function trained(objective: string, rows: readonly unknown[], settings: object = {}) {
  const fixed = { learningRate: 1e-3, length: { epochs: 1 }, batch: 1, maxTokens: 64, lora: null, adapter: 'merge' };
  const inputs = { ...fixed, objective, from: base, data: await put(store, rows.map(record)), ...settings };
  const call: StepCall = { verb: 'train', operation: objective, label: 'm', path: 'm', arm: null, round: null, inputs };
  const run = new MockActivityEnvironment({ attempt: 1 }).run(activities.train, call, context);
  const { result } = await (run as Promise<LedgerEntry>);
  const { stepKey } = await resolve(call, context, await services.registry([]));
  return { model: result as ModelRef, output: (await store.output(stepKey))! };
}

test.serial('the trainer drops what it must, and the model is the one that the other rows alone give', async (t) => {
  const { model, output } = await trained('sft', [...sound.slice(0, 3), ...odd, ...sound.slice(3)]);
  t.like(output, { in: 8, kept: 5, dropped: { empty: 1, 'too-long': 1, invalid: 1 } });
  const dropped = (await read(store, output.droppedRecords!)).map(({ value }) => value as { reason: string; value: unknown });
  t.deepEqual(
    dropped.map(({ reason, value }) => [reason, value]),
    [
      ['empty', odd[0]],
      ['too-long', odd[1]],
      ['invalid', odd[2]],
    ],
  );
  t.like(await store.model(model), { steps: 5 });
  t.is(model.digest, (await trained('sft', sound)).model.digest);
});

test.serial('in preferences and in documents as well, and a long answer is cut where that is asked for', async (t) => {
  const prompt = said('').messages.slice(0, 1);
  const pairs = ['It is old.', 'It is blue.', ' ', 'long '.repeat(200)].map((chosen) => ({ prompt, chosen, rejected: 'It is not.' }));
  const { model, output } = await trained('dpo', pairs, { tooLong: 'truncate' });
  t.like(output, { in: 4, kept: 3, dropped: { empty: 1 } });
  t.like(await store.model(model), { settings: { rows: { in: 4, kept: 3, truncated: 1 } } });
  const texts = [{ text: 'It is old.' }, { text: '' }, { text: 'It is blue.' }];
  t.like((await trained('lm', texts)).output, { in: 3, kept: 2, dropped: { empty: 1 } });
});

test.serial('where nothing is left, the training says so and runs no step', async (t) => {
  await t.throwsAsync(trained('sft', odd), {
    message: /none of its 3 rows can be trained on \(1 empty, 1 too-long, 1 invalid\), such as record \w+ there is nothing to learn/,
  });
});
