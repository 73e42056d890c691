/** A lease: runs a model server on a device group, and the batches of a step that ask it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import type { Engine, ServedModels } from '../devices/engines/engine.ts';
import { engineOf, structuredBy } from '../devices/engines/index.ts';
import { pythonOf } from '../devices/python.ts';
import { ModelServer } from '../devices/server.ts';
import type { Slot } from '../devices/slot.ts';
import { checkCapabilities } from '../inference/capability.ts';
import { ModelClient } from '../inference/client.ts';
import { FixedLimiter } from '../inference/limiter.ts';
import type { StepCall } from '../schemas/call.ts';
import type { LeaseState } from '../schemas/devices.ts';
import { queues } from '../schemas/names.ts';
import type { Lease, StepContext } from '../schemas/steps.ts';
import { wantedCapabilities } from '../steps/evaluate.ts';
import { externalsOf, withOwn } from '../steps/external.ts';
import type { Models } from '../steps/models.ts';
import { inFlightOf, servedName } from '../steps/open.ts';
import { resolve } from '../steps/resolve.ts';
import type { ActivityHandle, Services } from '../steps/services.ts';
import { foldersOf } from '../steps/train.ts';
import type { Store } from '../store/store.ts';
import { leaseState, type GpuWorker } from './gpu-worker.ts';
import { runBatches } from './lease-batches.ts';
import { timeSliceOver } from './time-slice.ts';

export interface LeaseInput {
  readonly call: StepCall;
  readonly context: StepContext;
  readonly stepKey: string;
  readonly lease: Lease;
  readonly replica: number;
}

/** Serves models until the lease is released. Returns true if the lease ended early because its time slice was over and another experiment
 *  waits. */
export async function serve(gpu: GpuWorker, input: LeaseInput, { signal, heartbeat }: ActivityHandle): Promise<boolean> {
  const { services, slots } = gpu;
  const { context, stepKey, lease } = input;
  await services.check({ ...context, serving: lease.serving });
  heartbeat(leaseState('waiting'));
  const key = `serve.${stepKey}.${input.replica}`;
  const { store } = services;
  const engine = engineOf(lease.serving, await servedModels(store, lease), pythonOf(), await baseNameOf(store, lease));
  await using slot = await slots.acquire(signal, { key, warm: engine.warmth });
  heartbeat(leaseState('starting', slot, await slot.foreignProcesses()));
  const server = await startServer(gpu, slot, key, engine, signal);
  services.metrics.lease(lease.serving.pool, 1);
  const over = new AbortController();
  let gaveWay = false;
  let ended = false;
  try {
    const models = await modelsOf(services, server, input, signal);
    heartbeat(() => ({ ...server.state, slot: slot.name, models: Object.keys(lease.models) }) satisfies LeaseState);
    const sliceOver = timeSliceOver(gpu.timeSlice, over.signal).then(() => (gaveWay = true));
    const worker = { ...gpu, connection: gpu.connections[slot.group]! };
    const released = Promise.race([aborted(signal), sliceOver, server.failed]);
    ended = await runBatches(worker, queues.lease(services.store.id, stepKey), models, released);
    if (!gaveWay) signal.throwIfAborted(); // if the worker is shutting down, the step still needs its lease
    return gaveWay;
  } finally {
    over.abort();
    services.metrics.lease(lease.serving.pool, -1);
    await (ended || gaveWay ? server.keepWarm() : server.stop());
  }
}

async function startServer(gpu: GpuWorker, slot: Slot, key: string, engine: Engine, signal: AbortSignal): Promise<ModelServer> {
  const folder = join(gpu.services.home, 'serve', slot.name);
  await mkdir(folder, { recursive: true });
  const { attempt } = Context.current().info;
  return ModelServer.start({ slot, key, attempt, engine, folder, lifeline: gpu.lifeline, signal });
}

/** The models of the lease and the external models of the step, once the server has passed its capability checks. */
async function modelsOf(
  services: Services,
  server: ModelServer,
  { call, context, lease }: LeaseInput,
  signal: AbortSignal,
): Promise<Models> {
  const concurrency = inFlightOf(lease);
  const { timeout } = lease.serving;
  const client = new ModelClient({
    endpoint: (waiting, silent) => server.endpoint(waiting, silent),
    limiter: new FixedLimiter(concurrency),
    count: (requestId, send) => services.metrics.request(lease.serving.pool, requestId, send),
    timeout: timeout && timeout * 1000,
    dialect: { structured: structuredBy(lease.serving) },
  });
  const registry = await services.registry(context.modules);
  const resolved = await resolve(call, context, registry, services.machine);
  const servedIn = (role: string) => servedName(resolved.cast[role]!);
  for (const served of Object.keys(lease.models)) {
    const roles = Object.keys(resolved.cast).filter((role) => servedIn(role) === served);
    await checkCapabilities(client, served, wantedCapabilities(resolved, registry, roles), signal);
  }
  const own: Models = { of: (role) => ({ client, served: servedIn(role) }), concurrency };
  return withOwn(externalsOf(services, resolved.cast, context), own);
}

async function servedModels(store: Store, { models }: Lease): Promise<ServedModels> {
  const folders = Object.entries(models).map(async ([served, model]) => [served, await foldersOf(store, model)] as const);
  return Object.fromEntries(await Promise.all(folders));
}

/** Served name of the lease's base: of a model that is no adapter, or of that under an adapter. */
async function baseNameOf(store: Store, { models }: Lease): Promise<string> {
  const [model] = Object.values(models);
  const { base } = await store.model(model!);
  return servedName(base === null ? model! : { digest: base });
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
