/** The first activity of every step: looks the step up by its key, checks it, and plans its batches. */
import { join } from 'node:path';
import type { StepContext, MapStart, Lease, MapWork, StepLookup } from '../schemas/steps.ts';
import { refsIn, type StepCall, type DatasetRef, type ModelRef } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { writeAtomic } from '../store/files.ts';
import { checkSources } from './changed.ts';
import { budgetOf, servingOf, tags } from './call-inputs.ts';
import { cutKey } from './key.ts';
import { resolve } from './resolve.ts';
import { holdsTagger, kindMismatch, lacksItsWeights, leaseFault, templateMismatch, unbatched, uncast } from './checks.ts';
import type { Resolved } from './resolved.ts';
import type { Services } from './services.ts';
import { itemsOf } from './evaluate.ts';
import { externalOf, ownOf } from './external.ts';
import { triggerPoint } from './trigger-points.ts';
import { startName } from './batch-files.ts';

/** Records per batch. Results depend neither on it nor on the order of batches. */
const BATCH = 256;
/** Batches that a stage schedules at once: at least `WINDOW`, and one more for every `IN_FLIGHT_PER_BATCH` requests in flight. The last
 *  replies of a batch are slow, so others must begin in the meantime. Twice the number that a simulation needs in which the lengths of
 *  replies are lognormal with sigma 1. */
const WINDOW = 8;
const IN_FLIGHT_PER_BATCH = 8;
/** Requests in flight for each slot of a server: enough that no slot waits for the client. */
const IN_FLIGHT = 1.25;
/** The most leases of a step with `replicas: auto`. */
const AUTO = 16;

export const inFlightOf = ({ serving }: Pick<Lease, 'serving'>): number => Math.ceil(serving.slots * IN_FLIGHT);
export const servedName = (model: Pick<ModelRef, 'digest'>) => model.digest.slice(0, 16);

export async function openStep(services: Services, call: StepCall, context: StepContext): Promise<StepLookup> {
  const registry = await services.registry(context.modules);
  const resolved = await resolve(call, context, registry, services.machine);
  const known = await lookUp(services, resolved);
  if (known) return { hit: known };
  await triggerPoint('open: before its beginning is looked up');
  await checkRoom(services);
  await checkInputs(services, resolved);
  const weightless = lacksItsWeights(context, call);
  if (weightless) throw new BackspinError('ConfigError', weightless);
  const lacking = uncast(call, registry);
  if (lacking) throw new BackspinError('ConfigError', lacking);
  const otherKind = await kindMismatch(call, registry, async (model) => holdsTagger(await services.store.model(model)));
  if (otherKind) throw new BackspinError('ConfigError', otherKind);
  const mismatch = await templateMismatch(registry, call, resolved, async (model) => (await services.store.model(model)).template);
  if (mismatch) throw new BackspinError('TemplateMismatch', mismatch);
  const lack = unbatched(call, context, registry);
  if (lack) throw new BackspinError('CapabilityMissing', lack);
  const work = await workOf(services, resolved, context);
  // For `backspin watch`: the number of records, the folder of the journals that count them, and digests of models by role.
  if (work) {
    const [path, text] = [
      join(services.store.work(resolved.stepKey), 'work.json'),
      JSON.stringify({ in: work.candidates, start: startName(work), models: digestsOf(resolved.cast) }),
    ];
    await services.store.shared?.settle(path, text, () => false);
    await writeAtomic(path, text);
  }
  await triggerPoint('open: before its work is given');
  return { hit: null, stepKey: resolved.stepKey, work };
}

const digestsOf = (cast: Resolved['cast']) => Object.fromEntries(Object.entries(cast).map(([role, { digest }]) => [role, digest]));

/** The stored result of the step, if all of it still exists. By default the complete result, or one cut short under the same budget. */
export async function lookUp(
  { store }: Pick<Services, 'store'>,
  resolved: Resolved,
  keys = [resolved.stepKey, cutKey(resolved)],
): Promise<LedgerEntry | undefined> {
  for (const stepKey of keys) {
    const output = await store.output(stepKey);
    if (!output) continue;
    await checkSources(store, output, resolved);
    if (await store.has(output.result)) return { result: output.result, stepKey, cached: true };
  }
  return undefined;
}

async function checkInputs({ store }: Services, resolved: Resolved): Promise<void> {
  for (const ref of refsIn(resolved.call.inputs)) {
    if (!(await store.has(ref))) {
      throw new BackspinError(
        'ArtifactMissing',
        `The ${ref.kind} ${ref.digest.slice(0, 16)}, an input of step ${resolved.call.path}, is not in the store any more: retry the step, and what made it is made again.`,
      );
    }
  }
}

async function workOf(services: Services, resolved: Resolved, context: StepContext): Promise<MapWork | null> {
  const { call } = resolved;
  if (call.verb === 'reduce' || call.verb === 'train') return null;
  if (call.verb === 'evaluate' && !resolved.cast['model']) return null;
  const { over, skip } =
    call.verb === 'map' ? await longestStoredPrefix(services, resolved) : { over: await itemsOf(services, resolved, context), skip: 0 };
  const { until, quorum = 1 } = call.inputs as { until?: { kept: number }; quorum?: number };
  const { candidates = Infinity, tokens = null, attempts = null, minutes = null } = budgetOf(call);
  if (!(quorum > 0 && quorum <= 1))
    throw new BackspinError(
      'ConfigError',
      `Step ${call.path} has a quorum of ${quorum}: a share of its records is needed, above 0 and at most 1.`,
    );
  const tried = Math.min(over.rows, candidates);
  const settled = quorum < 1 ? Math.ceil(quorum * tried) : null;
  const batches = Math.ceil(tried / BATCH);
  const lease = resolved.offline ? null : await leaseOf(services, resolved, context, batches);
  const externals = Object.values(resolved.cast).flatMap((model) => externalOf(context, model) ?? []);
  const inFlight = Math.max(lease ? lease.replicas * inFlightOf(lease) : 0, ...externals.map((external) => external.inFlight));
  return {
    over,
    skip,
    build: services.build,
    candidates: tried,
    limits: (settled ?? tokens ?? attempts ?? minutes) === null ? null : { quorum: settled, tokens, attempts, minutes },
    batches,
    batchSize: BATCH,
    window: WINDOW + Math.ceil(inFlight / IN_FLIGHT_PER_BATCH),
    lease,
    external: externals.length > 0,
    until: until?.kept ?? null,
    batch: resolved.offline,
    ...(tags(call, resolved.registry) && { tags: true as const }),
  };
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Throws `LowWater` if the disk may be too full for a new step to end. */
export async function checkRoom({ store, lowWater }: Pick<Services, 'store' | 'lowWater'>): Promise<void> {
  const free = await store.free();
  if (free >= lowWater) return;
  throw new BackspinError(
    'LowWater',
    `The disk of the store (${store.root}) has ${gigabytes(free)} free, and a new step begins with ${gigabytes(lowWater)} or more: make room.`,
  );
}

/** The longest prefix of the chain with a stored result, and its dataset. A map that can end early starts with its first operator: the
 *  candidates of a budget, `until` and a quorum count records that enter the chain. */
async function longestStoredPrefix(services: Services, resolved: Resolved): Promise<Omit<MapStart, 'build'>> {
  const { until, quorum = 1 } = resolved.call.inputs as { until?: object; quorum?: number };
  const counted = until !== undefined || quorum < 1 || budgetOf(resolved.call).candidates !== undefined;
  const longest = counted ? 0 : resolved.chain.length - 1;
  for (let skip = longest; skip > 0; skip--) {
    const { stepKey, versions, sources } = resolved.chain[skip - 1]!; // a change of a later operator is none of its business
    const known = await lookUp(services, { ...resolved, versions, sources }, [stepKey]);
    if (known) return { over: known.result as DatasetRef, skip };
  }
  return { over: (resolved.call.inputs as { over: DatasetRef }).over, skip: 0 };
}

async function leaseOf({ store }: Services, resolved: Resolved, context: StepContext, batches: number): Promise<Lease | null> {
  const own = ownOf(context, resolved.cast);
  const servings = Object.keys(own).map((role) => servingOf(context, role));
  if (servings.length === 0) return null;
  const models = await Promise.all(Object.values(own).map(async (model) => ({ model, base: (await store.model(model)).base })));
  const fault = leaseFault(resolved.call, context, own, new Set(models.map(({ model, base }) => base ?? model.digest)));
  if (fault) throw new BackspinError('ConfigError', fault);
  const { replicas } = servings[0]!;
  return {
    models: Object.fromEntries(models.map(({ model }) => [servedName(model), model])),
    serving: { ...servings[0]!, slots: Math.max(...servings.map((serving) => serving.slots)) },
    replicas: Math.min(replicas === 'auto' ? AUTO : replicas, batches),
  };
}
