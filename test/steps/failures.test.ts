/** Failures of one record are counted in the journal. */
import test from 'ava';
import type { Client } from '../../steps/models.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { mapped } from '../bad-input/mapped.ts';

/** Answers all but `say 2`, and counts how often that was asked. */
function speaker(onFailure: (times: number) => void = () => {}, alive = true) {
  const made = { times: 0 };
  const none = () => Promise.reject(new Error('nobody asks so'));
  const client: Client = {
    complete: none,
    score: none,
    alive: () => Promise.resolve(alive),
    chat: async (_model, [message]) => {
      if (message!.content !== 'say 2') return { reply: { text: message!.content, finish: 'stop' }, tokens: 1, written: 0 };
      onFailure(++made.times);
      throw new BackspinError('Down', 'status 500, it broke');
    },
  };
  return { client, made };
}
const three = () => mapped('toy.ask', [{ n: 1 }, { n: 2 }, { n: 3 }], 'speaker');

test('a kill takes nothing from the count of a record that always fails', async (t) => {
  const { batch, dropped } = await three();
  const kill = new AbortController();
  const { client, made } = speaker((times) => times === 2 && kill.abort(new Error('killed')));
  await t.throwsAsync(batch(client, kill.signal), { message: 'killed' });
  await batch(client);
  t.is(made.times, 4, 'three that count, and one that was killed');
  t.deepEqual(await dropped(), ['failed: Down, 3 times while others were answered: status 500, it broke']);
});

test('a server that answers nobody drops no record, however often it is asked', async (t) => {
  const { batch } = await mapped('toy.ask', [{ n: 2 }], 'speaker');
  const { client, made } = speaker(undefined, false);
  for (let attempt = 1; attempt <= 5; attempt++) {
    await t.throwsAsync(batch(client), { name: 'Down' });
    t.is(made.times, attempt);
  }
});
