/** A device group is held while something computes on it, and no longer. */
import test from 'ava';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { gpuActivities } from '../../activities/gpu.ts';
import type { GpuWorker } from '../../activities/gpu-worker.ts';
import { resolve } from '../../steps/resolve.ts';
import { ActivitySlots } from '../../activities/slots.ts';
import { runFolder } from '../../steps/train.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { LedgerEntry } from '../../schemas/experiment.ts';
import { call, machine } from '../support/keys.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, folder, put, record } from '../support/store.ts';

const step = { event: 'step', step: 1, loss: 1.5, learningRate: 1e-3, tokens: 9, seconds: 1 };
const events = [{ event: 'start', pid: 1, resumedFrom: null, steps: 1 }, step].map((event) => `${JSON.stringify({ v: 1, ...event })}\n`);

test('a training is prepared before it holds a device group, committed when it holds none, and makes room for the next meanwhile; its heartbeat has its curve', async (t) => {
  const made = await bench({ reply: () => '' });
  const services = { ...made.services, machine: machine(), lowWater: 0 };
  const { store } = services;
  const base = folder();
  await writeFile(join(base, 'config.json'), '{}');
  const from: ModelRef = await store.putModel(base, aboutModel);
  const settings = { objective: 'sft', learningRate: 1e-3, length: { steps: 1 }, batch: 1, maxTokens: 8, lora: null, adapter: 'merge' };
  const train = call('train', 'sft', { ...settings, from, data: await put(store, [record({ messages: [] })]) });
  const { stepKey } = await resolve(train, made.context, await services.registry([]), services.machine);
  const run = runFolder(store, stepKey);

  let held = false;
  const seen: string[] = [];
  const see = (what: string) => seen.push(`${what}${held ? ', held' : ''}`);
  const slot = {
    name: 'cpu-0',
    devices: [],
    foreignProcesses: async () => [],
    async claim() {
      see('trained'); // an attempt before has done it, and died
      await mkdir(join(run, 'model'));
      await writeFile(join(run, 'events.jsonl'), events.join(''));
      await writeFile(join(run, 'model', 'config.json'), '{}');
    },
    async [Symbol.asyncDispose]() {
      held = false;
    },
  };
  const room = new ActivitySlots(1);
  const { signal } = new AbortController();
  await room.reserveSlot(undefined, signal); // the training's
  let next = false;
  const coming = room.reserveSlot(undefined, signal).then(() => (next = true));
  const { putModel, modelFolder } = store;
  store.modelFolder = (ref) => (see('read the model'), modelFolder.call(store, ref));
  const environment = new MockActivityEnvironment();
  const shown = new Promise((found) => {
    environment.on('heartbeat', (details: object) => 'curve' in details && found(details));
  });
  store.putModel = async (...args) => {
    see(`put the model${next ? ', next here' : ''}`);
    t.like(await shown, { state: 'training', slot: 'cpu-0', progress: '1 of 1 steps' });
    return putModel.apply(store, args);
  };
  const slots = {
    groups: 1,
    async acquire() {
      see(`acquired${existsSync(join(run, 'rows.jsonl')) ? ', with rows' : ''}${next ? ', next here' : ''}`);
      held = true;
      return slot;
    },
  };
  const gpu = { services, slots, timeSlice: 0, connections: [], namespace: 'default', lifeline: '' } as unknown as GpuWorker;
  const activities = gpuActivities(gpu, room);
  const entry: LedgerEntry = await environment.run(activities.train, train, made.context);
  t.is(entry.stepKey, stepKey);
  t.deepEqual(seen, ['read the model', 'acquired, with rows', 'trained, held', 'put the model, next here']);
  await coming;
});
