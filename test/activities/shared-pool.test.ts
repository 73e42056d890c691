/** Steps on a pool of other hosts, which no worker has joined yet. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import test from 'ava';
import { dataActivities } from '../../activities/data.ts';
import { machineOf, sharedPoolFile } from '../../steps/machine.ts';
import { putPoolNotice } from '../../steps/pool-notices.ts';
import { call } from '../support/keys.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, folder, put, record } from '../support/store.ts';

test('a training is not opened before a worker has said what its pool computes on, and says what keeps workers away', async (t) => {
  const { services, context } = await bench({ reply: () => '' });
  const { store } = services;
  Object.defineProperty(store, 'shared', { value: true });
  const base = folder();
  await writeFile(join(base, 'config.json'), '{}');
  const settings = { objective: 'sft', learningRate: 1e-3, length: { steps: 1 }, batch: 1, maxTokens: 8, lora: null, adapter: 'merge' };
  const data = await put(store, [record({ messages: [] })]);
  const train = call('train', 'sft', { ...settings, from: await store.putModel(base, aboutModel), data });
  const machine = machineOf(folder(), store);
  const open = () => new MockActivityEnvironment().run(dataActivities({ ...services, store, machine, lowWater: 0 }).open, train, context);
  await t.throwsAsync(open(), { message: /No worker of the pool cpu has ever joined.*devices\.$/ });
  await putPoolNotice(store, 'cpu', 'Slurm takes no job.');
  await t.throwsAsync(open(), { message: /No worker of the pool cpu has ever joined.* Slurm takes no job\.$/ });

  await store.blobs.write(sharedPoolFile(store, 'cpu'), JSON.stringify({ device: 'cuda 9.0' }));
  await t.throwsAsync(open(), { message: /^(?!No worker)/ }); // it goes on to the server, which is not there
  t.is(machine.device('cpu'), 'cuda 9.0');
});
