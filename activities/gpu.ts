/** Implements the activities of a gpu worker: `serve` is a lease; `train`, `embed`, `score` and `tag` hold a device group while their
 *  subprocess runs. */
import type { GpuActivities } from '../schemas/activities.ts';
import type { ModelRef, StepCall } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { SubprocessSpec } from '../schemas/trainer.ts';
import { readEmbeddedRows, prepareEmbedding } from '../steps/embed.ts';
import { MicroBatches } from '../steps/micro-batches.ts';
import { reduceStep } from '../steps/reduce.ts';
import { commitScoring, prepareScoring } from '../steps/score.ts';
import { commitTagging, prepareTagging } from '../steps/tag.ts';
import { commitTraining, prepareTraining } from '../steps/train.ts';
import type { GpuWorker } from './gpu-worker.ts';
import { serve } from './serve.ts';
import { ActivitySlots } from './slots.ts';
import { supervised, type Supervised } from './supervised.ts';
import { activity } from './wrap.ts';

/** `room`: the worker's activity slots. A step frees its slot when it no longer needs the device group and only commits. */
export function gpuActivities(gpu: GpuWorker, room = new ActivitySlots(gpu.slots.groups)): GpuActivities {
  const { store, home, machine } = gpu.services;
  const known = new MicroBatches(home);
  const deviceOf = ({ training }: StepContext): string => machine.device(training.pool);
  const onDevice = <S extends SubprocessSpec>(call: StepCall, context: StepContext, how: Supervised<S>): Promise<LedgerEntry> =>
    activity((handle) => room.run((past) => supervised(gpu, call, context, how, handle, past)));

  return {
    serve: (call, context, stepKey, lease, replica) => activity((handle) => serve(gpu, { call, context, stepKey, lease, replica }, handle)),

    train: (call, context) =>
      onDevice(call, context, {
        prepare: (resolved, registry) => prepareTraining(store, registry, resolved, context, { known, device: deviceOf(context) }),
        commit: (resolved, registry, spec, done) => commitTraining(store, registry, resolved, spec, done),
        onMicroBatch: (spec, rows) => known.put((call.inputs['from'] as ModelRef).digest, deviceOf(context), spec, rows),
      }),

    embed: (call, context) =>
      onDevice(call, context, {
        prepare: (resolved, registry) => prepareEmbedding(store, registry, resolved, context),
        async commit(resolved, registry, _, { result, subprocessSpans }, signal) {
          const output = await reduceStep({
            store,
            registry,
            resolved,
            seed: context.seed,
            signal,
            places: readEmbeddedRows(result),
            subprocessSpans,
          });
          await store.clearWork(resolved.stepKey);
          return output;
        },
      }),

    score: (call, context, work) =>
      onDevice(call, context, {
        prepare: (resolved, registry, signal) => prepareScoring({ store, registry, resolved, context, work, signal }),
        commit: (resolved, registry, { rows }, { result, subprocessSpans }, signal) =>
          commitScoring({ store, registry, resolved, context, work, signal }, rows, result, subprocessSpans),
      }),

    tag: (call, context, work) =>
      onDevice(call, context, {
        prepare: (resolved, registry, signal) => prepareTagging({ store, registry, resolved, context, work, signal }),
        commit: (resolved, registry, _, { result, subprocessSpans }, signal) =>
          commitTagging({ store, registry, resolved, context, work, signal }, result, subprocessSpans),
      }),
  };
}
