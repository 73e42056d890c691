/** The activities of a gpu worker: `serve` is a lease of a device group, `train`, `embed` and `score` hold one for the length of a child's work. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Context } from '@temporalio/activity';
import type { NativeConnection } from '@temporalio/worker';
import { mkdir } from 'node:fs/promises';
import type { Slot, Slots } from '../devices/slots.ts';
import type { ServedModels } from '../devices/engines/engine.ts';
import { engineOf } from '../devices/engines/index.ts';
import { ModelServer } from '../devices/server.ts';
import { train as runTrainer, type Trained } from '../devices/trainer.ts';
import { checkCapabilities } from '../inference/capability.ts';
import { ModelClient } from '../inference/client.ts';
import { FixedLimiter } from '../inference/limiter.ts';
import type { StepCall } from '../schemas/call.ts';
import type { GpuActivities } from '../schemas/activities.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { LeaseState } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { queues } from '../schemas/names.ts';
import type { Output } from '../schemas/store.ts';
import type { ChildSpec, TrainEvent } from '../schemas/trainer.ts';
import type { Store } from '../store/store.ts';
import { placesIn, prepareEmbedding } from '../steps/embed.ts';
import { wantsOf } from '../steps/evaluate.ts';
import { externalsOf, withOwn } from '../steps/external.ts';
import { noteFinished } from './step-notes.ts';
import { inFlightOf, lookUp, servedName } from '../steps/open.ts';
import type { Lease, StepContext, Span } from '../schemas/steps.ts';
import { reduceStep } from '../steps/reduce.ts';
import { resolve } from '../steps/resolve.ts';
import type { Resolved } from '../steps/resolved.ts';
import { clearedOfOthers } from '../steps/runs.ts';
import { commitScoring, prepareScoring } from '../steps/score.ts';
import { pythonOf, type Services, type ActivityHandle } from '../steps/services.ts';
import { runBatches } from './lease-batches.ts';
import type { Models } from '../steps/models.ts';
import { ActivitySlots } from './slots.ts';
import { beginSpan } from '../steps/spans.ts';
import { commitTraining, foldersOf, prepareTraining } from '../steps/train.ts';
import { timeSliceOver } from './time-slice.ts';
import { activity } from './wrap.ts';
import type { Registry } from '../steps/registry.ts';

export interface GpuWorker {
  readonly services: Services;
  readonly slots: Slots;
  /** Milliseconds that a lease lasts even if other experiments wait. */
  readonly timeSlice: number;
  /** One for each device group: on one connection, the SDK allows one worker of a queue, and several leases of a step have the same. */
  readonly connections: readonly NativeConnection[];
  readonly namespace: string;
  readonly lifeline: string;
}

/** `room`: of the worker that runs them. A step that is only being committed needs no device group any more. */
export function gpuActivities(gpu: GpuWorker, room = new ActivitySlots(gpu.slots.groups)): GpuActivities {
  const { services, slots } = gpu;
  const { store } = services;

  return {
    serve: (call, context, stepKey, lease, replica) =>
      activity(async ({ signal, heartbeat }) => {
        const { attempt } = Context.current().info;
        await services.check({ ...context, serving: lease.serving });
        heartbeat(begun('waiting'));
        const key = `serve.${stepKey}.${replica}`;
        const engine = engineOf(lease.serving, await servedFrom(store, lease), pythonOf());
        await using slot = await slots.acquire(signal, { key, warm: engine.warmth });
        heartbeat(begun('starting', slot, await slot.others()));
        const folder = join(services.home, 'serve', slot.name);
        await mkdir(folder, { recursive: true });
        const server = await ModelServer.start({
          slot,
          key,
          attempt,
          engine,
          folder,
          lifeline: gpu.lifeline,
          signal,
        });
        const over = new AbortController();
        let gaveWay = false;
        let ended = false;
        try {
          const limit = inFlightOf(lease);
          const { timeout } = lease.serving;
          const client = new ModelClient({
            endpoint: (waiting, silent) => server.endpoint(waiting, silent),
            limiter: new FixedLimiter(limit),
            timeout: timeout && timeout * 1000,
          });
          const registry = await services.registry(context.modules);
          const resolved = await resolve(call, context, registry, services.machine);
          for (const served of Object.keys(lease.models)) {
            const roles = Object.keys(resolved.cast).filter((role) => servedName(resolved.cast[role]!) === served);
            await checkCapabilities(client, served, wantsOf(resolved, registry, roles), signal);
          }
          const own: Models = { of: (role) => ({ client, served: servedName(resolved.cast[role]!) }), concurrency: limit };
          const models = withOwn(externalsOf(services, resolved.cast, context), own);
          heartbeat(() => ({ ...server.state, slot: slot.name, models: Object.keys(lease.models) }) satisfies LeaseState);
          const turn = timeSliceOver(gpu.timeSlice, over.signal).then(() => (gaveWay = true));
          const site = { ...gpu, connection: gpu.connections[slot.group]! };
          ended = await runBatches(site, queues.lease(store.id, stepKey), models, Promise.race([aborted(signal), turn, server.failed]));
          if (!gaveWay) signal.throwIfAborted(); // perhaps the worker is told to end: then the step still needs its lease
          return gaveWay;
        } finally {
          over.abort();
          await (ended || gaveWay ? server.keepWarm() : server.stop());
        }
      }),

    train: (call, context) =>
      supervised(call, context, {
        prepare: (resolved, registry) => prepareTraining(store, registry, resolved, context),
        commit: (resolved, registry, spec, done) => commitTraining(store, registry, resolved, spec, done),
      }),

    embed: (call, context) =>
      supervised(call, context, {
        prepare: (resolved, registry) => prepareEmbedding(store, registry, resolved, context),
        async commit(resolved, registry, _, { result, child }, signal) {
          const output = await reduceStep({ store, registry, resolved, seed: context.seed, signal, places: placesIn(result), child });
          await store.clearWork(resolved.stepKey);
          return output;
        },
      }),

    score: (call, context, work) =>
      supervised(call, context, {
        prepare: (resolved, registry, signal) => prepareScoring({ store, registry, resolved, context, work, signal }),
        commit: (resolved, registry, { rows }, { result, child }, signal) =>
          commitScoring({ store, registry, resolved, context, work, signal }, rows, result, child),
      }),
  };

  /** Has a child work on a device group from a spec to a result that is committed, if the step was not done before. */
  function supervised<S extends ChildSpec>(call: StepCall, context: StepContext, { prepare, commit }: Supervised<S>) {
    const body = async ({ signal, heartbeat }: ActivityHandle, past: () => void): Promise<LedgerEntry> => {
      const { attempt } = Context.current().info;
      const registry = await services.registry(context.modules);
      const resolved = await resolve(call, context, registry, services.machine);
      const known = await lookUp(services, resolved);
      if (known) return noteFinished(services, call, context, known);
      heartbeat(begun('starting'));
      let spec: S;
      do
        spec = await prepare(resolved, registry, signal); // it may take minutes, for which no device waits
      while (await clearedOfOthers(spec));
      const onDevice = async () => {
        heartbeat(begun('waiting'));
        const key = `train.${resolved.stepKey}`;
        await using slot = await slots.acquire(signal, { key });
        heartbeat(begun('starting', slot, await slot.others()));
        const began = Date.now();
        const endSpan = await beginSpan(join(spec.run, 'spans.json'), join(spec.run, 'events.jsonl'));
        const onEvent = (event: TrainEvent) => heartbeat({ ...begun('training', slot, undefined, began), ...event });
        const run = () => runTrainer({ slot, key, attempt, spec, lifeline: gpu.lifeline, signal, ...pythonOf(), onEvent });
        const done = await run().catch(async (error: unknown) => {
          if (!(error instanceof BackspinError && error.type === 'SchemaError')) throw error;
          const before = spec;
          spec = await prepare(resolved, registry, signal); // without the rows that the child has refused
          if (isDeepStrictEqual(spec, before)) throw error;
          return run();
        });
        return { ...done, child: await endSpan() };
      };
      const done = await onDevice();
      past();
      const { result, stepKey } = await commit(resolved, registry, spec, done, signal);
      return noteFinished(services, call, context, { result, stepKey, cached: false });
    };
    return activity((beat) => room.run((past) => body(beat, past)));
  }
}
interface Supervised<S> {
  prepare(resolved: Resolved, registry: Registry, signal: AbortSignal): Promise<S>;
  commit(
    resolved: Resolved,
    registry: Registry,
    spec: S,
    done: Trained & { readonly child: readonly Span[] },
    signal: AbortSignal,
  ): Promise<Output>;
}
async function servedFrom(store: Store, { models }: Lease): Promise<ServedModels> {
  const folders = Object.entries(models).map(async ([served, model]) => [served, await foldersOf(store, model)] as const);
  return Object.fromEntries(await Promise.all(folders));
}

const begun = (state: LeaseState['state'], slot?: Slot, others?: readonly string[], since = Date.now()): LeaseState => ({
  state,
  since,
  ...(slot ? { slot: slot.name, others } : {}),
});

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
