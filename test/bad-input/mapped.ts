/** A step that maps three records, on a store of its own and in this process. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { stepsOf } from '../../steps/work.ts';
import type { Client } from '../../steps/models.ts';
import { batchPath, batchResult } from '../../steps/batch-files.ts';
import type { BatchTotals } from '../../schemas/steps.ts';
import { moduleDigest } from '../../steps/registry.ts';
import type { StepCall } from '../../schemas/call.ts';
import type { LedgerEntry } from '../../schemas/experiment.ts';
import { root, temporary } from '../cli/cli.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, put as putRecords, record } from '../support/store.ts';
import { put } from './case.ts';

export interface Mapped {
  /** Of its one batch. */
  readonly journal: string;
  readonly result: string;
  /** `client` answers for every role. */
  batch(client?: Client, signal?: AbortSignal): Promise<BatchTotals>;
  commit(): Promise<LedgerEntry>;
  /** Reasons and evidence of what was dropped. Rejects when a record is neither kept nor dropped. */
  dropped(): Promise<string[]>;
}

const toy = join(root, 'test/support/toy.ts');
const beat = { signal: new AbortController().signal, heartbeat: () => {} };

export async function mapped(operation: string, values: readonly object[], role?: string, params: object = {}): Promise<Mapped> {
  const { services, context } = await bench({ reply: () => '' }, { modules: [{ path: toy, digest: await moduleDigest(toy) }] });
  const { store } = services;
  const steps = stepsOf(services);
  const model = await store.putModel(put(temporary(), { 'config.json': '{}', 'model.safetensors': 'weights' }), aboutModel);
  const over = await putRecords(store, values.map(record));
  const inputs = { over, params, ...(role === undefined ? {} : { with: { [role]: model } }) };
  const call: StepCall = { verb: 'map', operation, path: 'r1/mapped', label: 'mapped', arm: null, round: 1, inputs };
  const opened = await steps.open(call, context);
  assert.ok(opened.hit === null && opened.work !== null);
  const { stepKey, work } = opened;
  return {
    journal: batchPath(store, stepKey, work, 0, 'journal'),
    result: batchPath(store, stepKey, work, 0, 'result'),
    batch(client, signal = beat.signal) {
      const of = () => (client ? { client, served: 'm' } : assert.fail('no model is asked'));
      return steps.batch({ call, context, work, batch: 0 }, { of, concurrency: 1 }, { ...beat, signal });
    },
    commit: () => steps.commit(call, context, work, { batches: 1, spent: null }),
    async dropped() {
      const { done } = (await batchResult(store, stepKey, work, 0))!;
      assert.equal(done.filter((one) => one.kept.at(-1)!.length + one.dropped.length === 1).length, values.length);
      return done.flatMap((one) => one.dropped.map(({ reason, evidence }) => `${reason}: ${evidence}`));
    },
  };
}
