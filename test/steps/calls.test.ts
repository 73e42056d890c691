/** Calls of one record that run concurrently: whichever reply comes first, and wherever it is killed, each gets its own. */
import test from 'ava';
import { join } from 'node:path';
import { stepsOf } from '../../steps/work.ts';
import type { StepMiss } from '../../schemas/steps.ts';
import { atPoints } from '../../steps/trigger-points.ts';
import type { Models } from '../../steps/models.ts';
import { moduleDigest } from '../../steps/registry.ts';
import type { StepCall, DatasetRef } from '../../schemas/call.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, put, read, record } from '../support/store.ts';
import { put as putFiles } from '../bad-input/case.ts';
import { temporary } from '../cli/cli.ts';

const path = join(import.meta.dirname, '../support/branches.ts');
const modules = [{ path, digest: await moduleDigest(path) }];

/** The step, and a model that answers the questions in the given order, each once all before it are answered; those not named never. */
async function world() {
  const { services, context } = await bench({ reply: () => '' }, { modules });
  const { store } = services;
  const speaker = await store.putModel(putFiles(temporary(), { 'config.json': '{}', 'model.safetensors': 'w' }), aboutModel);
  const inputs = { over: await put(store, [record({ said: 'x' })]), with: { speaker }, params: {} };
  const call: StepCall = { verb: 'map', operation: 'branches.both', path: 'both', label: 'both', arm: null, round: null, inputs };
  const steps = stepsOf(services);
  const { work } = (await steps.open(call, context)) as StepMiss;
  const asked: string[] = [];
  async function batch(order: readonly string[], signal = new AbortController().signal): Promise<void> {
    const turns = new Map(order.map((name) => [name, Promise.withResolvers<void>()]));
    turns.get(order[0]!)!.resolve();
    const chat: ReturnType<Models['of']>['client']['chat'] = async (_model, messages, _sampling, { seed }) => {
      const { content } = messages[0]!;
      const name = content.slice(0, 2);
      asked.push(name);
      const stopped = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      await Promise.race([turns.get(name)?.promise ?? stopped, stopped]);
      setImmediate(() => turns.get(order[order.indexOf(name) + 1] ?? '')?.resolve());
      return { reply: { text: `<${content} ${seed}>`, finish: 'stop' }, tokens: 1, written: 0 };
    };
    const none = () => Promise.reject(new Error('nobody asks so'));
    const models: Models = { concurrency: 4, of: () => ({ served: 'm', client: { chat, complete: none, score: none } }) };
    await steps.batch({ call, context, work: work!, batch: 0 }, models, { signal, heartbeat: () => {} });
  }
  async function result() {
    const { result } = await steps.commit(call, context, work!, { batches: 1, spent: null });
    return (await read(store, result as DatasetRef))[0]!.value as { a: string; b: string };
  }
  return { batch, result, asked };
}

const orders = [
  ['a1', 'b1', 'a2', 'b2'],
  ['b1', 'b2', 'a1', 'a2'],
  ['a1', 'b1', 'b2', 'a2'],
];
const undisturbed = await world();
await undisturbed.batch(orders[0]!);
const wanted = await undisturbed.result();

test.serial('seeds and replies are the same in whatever order concurrent calls are answered', async (t) => {
  t.regex(wanted.a, /^<a2 after <a1 x \d+> \d+>$/);
  t.regex(wanted.b, /^<b2 after <b1 x \d+> \d+>$/);
  for (const order of orders) {
    const { batch, result } = await world();
    await batch(order);
    t.deepEqual(await result(), wanted);
  }
});

test.serial('killed after any number of replies, each call gets its own reply, and none that was answered is asked again', async (t) => {
  for (const order of orders)
    for (let replies = 1; replies < order.length; replies++) {
      const { batch, result, asked } = await world();
      const kill = new AbortController();
      let left = replies;
      atPoints((point) => {
        if (point === 'record: after a reply' && --left === 0) kill.abort(new Error('killed'));
      });
      const killed = batch(order.slice(0, replies), kill.signal);
      await t.throwsAsync(killed, { message: 'killed' });
      atPoints(undefined);
      const again = asked.splice(0).filter((name) => order.slice(0, replies).includes(name));
      t.deepEqual(again.toSorted(), order.slice(0, replies).toSorted());
      await batch(orders[1]!.filter((name) => !order.slice(0, replies).includes(name)));
      t.deepEqual(asked.toSorted(), order.slice(replies).toSorted());
      t.deepEqual(await result(), wanted);
    }
});
