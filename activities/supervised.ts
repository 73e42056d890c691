/** Runs a step that a subprocess computes on a device group: a training, an embedding, a scoring or a tagging. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Context } from '@temporalio/activity';
import { pythonOf } from '../devices/python.ts';
import { train as runTrainer, type Trained } from '../devices/trainer.ts';
import type { TrainingCommand } from '../schemas/config.ts';
import type { StepCall } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { Span, StepContext } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import { verbOf, type SubprocessSpec, type TrainEvent } from '../schemas/trainer.ts';
import { lookUp } from '../steps/open.ts';
import type { Registry } from '../steps/registry.ts';
import { resolve } from '../steps/resolve.ts';
import type { Resolved } from '../steps/resolved.ts';
import { clearIfRowsChanged } from '../steps/runs.ts';
import type { ActivityHandle } from '../steps/services.ts';
import { beginSpan } from '../steps/spans.ts';
import { leaseState, type GpuWorker } from './gpu-worker.ts';
import { SharedRun } from './shared-run.ts';
import { noteFinished } from './step-notes.ts';
import { ProgressOfTraining } from './training-progress.ts';

export interface Supervised<S extends SubprocessSpec> {
  prepare(resolved: Resolved, registry: Registry, signal: AbortSignal): Promise<S>;
  commit(resolved: Resolved, registry: Registry, spec: S, done: Computed, signal: AbortSignal): Promise<Output>;
  /** Gets the micro-batch that replaces one that did not fit into memory. */
  onMicroBatch?(spec: S, rows: number): Promise<void>;
}
/** Result of the subprocess, and when it ran. */
type Computed = Trained & { readonly subprocessSpans: readonly Span[] };

/** Looks the step up, or prepares its spec, runs it on a device group and commits the result. `past` is called when the device group is free
 *  again. */
export async function supervised<S extends SubprocessSpec>(
  gpu: GpuWorker,
  call: StepCall,
  context: StepContext,
  { prepare, commit, onMicroBatch }: Supervised<S>,
  { signal, heartbeat }: ActivityHandle,
  past: () => void,
): Promise<LedgerEntry> {
  const { services } = gpu;
  await services.check(context);
  const registry = await services.registry(context.modules);
  const resolved = await resolve(call, context, registry, services.machine);
  const known = await lookUp(services, resolved);
  if (known) return noteFinished(services, call, context, known);
  heartbeat(leaseState('starting'));
  const prepared = () => prepare(resolved, registry, signal);
  let spec: S;
  do
    spec = await prepared(); // preparing can take minutes, so the step holds no device group yet
  while (await clearIfRowsChanged(spec));
  const remember = async (rows: number) => onMicroBatch?.(spec, rows);
  const { command } = context.training;
  const { shared: other } = services.store;
  const shared = other && call.verb === 'train' ? await SharedRun.open(other, spec.run) : undefined;
  const how = { prepare: prepared, remember, shared, ...(call.verb === 'train' && command && { command }) };
  const run = await onDevice(gpu, `train.${resolved.stepKey}`, spec, how, { signal, heartbeat });
  past();
  const { result, stepKey } = await commit(resolved, registry, run.spec, run.done, signal);
  return noteFinished(services, call, context, { result, stepKey, cached: false });
}

interface HowToRun<S> {
  readonly prepare: () => Promise<S>;
  readonly remember: (rows: number) => Promise<void>;
  readonly command?: TrainingCommand;
  readonly shared: SharedRun | undefined;
}

/** Runs a spec on a device group. If the subprocess refuses rows, prepares the spec once more without them. */
async function onDevice<S extends SubprocessSpec>(
  { slots, lifeline }: GpuWorker,
  key: string,
  first: S,
  { prepare, remember, shared, ...command }: HowToRun<S>,
  { signal, heartbeat }: ActivityHandle,
): Promise<{ readonly spec: S; readonly done: Computed }> {
  const { attempt } = Context.current().info;
  heartbeat(leaseState('waiting'));
  await using slot = await slots.acquire(signal, { key });
  heartbeat(leaseState('starting', slot, await slot.foreignProcesses()));
  const began = Date.now();
  const endSpan = await beginSpan(join(first.run, 'spans.json'), join(first.run, 'events.jsonl'));
  const progress = new ProgressOfTraining(verbOf(first) === 'train' ? 'steps' : 'rows');
  const onEvent = (event: TrainEvent) => {
    progress.add(event);
    heartbeat(() => ({ ...leaseState('training', slot, undefined, began), ...progress.now }));
    shared?.onEvent(event);
  };
  const run = (spec: S) =>
    runTrainer({ slot, key, attempt, spec, lifeline, signal, ...pythonOf(), onEvent, onMicroBatch: remember, ...command });
  let spec = first;
  try {
    const done = await run(spec).catch(async (error: unknown) => {
      if (!(error instanceof BackspinError && error.type === 'SchemaError')) throw error;
      spec = await prepare();
      if (isDeepStrictEqual(spec, first)) throw error;
      return run(spec);
    });
    return { spec, done: { ...done, subprocessSpans: await endSpan() } };
  } finally {
    await shared?.close(signal.aborted).catch(() => {}); // an earlier checkpoint is there
  }
}
