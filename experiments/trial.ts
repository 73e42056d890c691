/** Makes a throw-away experiment that runs one step of another on a few records, with the steps that it needs. */
import { createHash, randomBytes } from 'node:crypto';
import { keptRecords } from '../plan/estimate.ts';
import type { PlannedCall, PlannedCalls } from '../plan/planner.ts';
import { isReal } from '../plan/symbols.ts';
import { isRef, refsIn, type AnyRef, type DatasetRef, type StepCall } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Rec } from '../recipe/define.ts';
import { suggest } from '../schemas/nearest.ts';
import { number } from '../schemas/units.ts';
import { RECORDS } from '../steps/commit.ts';
import { checkParams, isImport, isSource, sourceOf } from '../steps/definitions.ts';
import { hubDatasetOf, isAtHand } from '../steps/hub-data.ts';
import { recordsOf } from '../steps/source.ts';
import type { Store } from '../store/store.ts';
import type { TrialConfig, TrialStep } from '../workflows/recipes/trial.ts';
import { configDigest, type Experiment } from './config.ts';

/** The recipe of these experiments. */
export const TRIAL = 'trial';
/** Records that a trial reads of each source. Reducers choose among them. */
const READ = 1000;

/** The step of a plan with this path, or with the only path that ends so. */
export function plannedCall({ calls }: PlannedCalls, wanted: string): PlannedCall {
  const exact = calls.get(wanted);
  const found = exact ? [exact] : [...calls.values()].filter(({ call }) => call.path.endsWith(`/${wanted}`));
  if (found.length === 1) return found[0]!;
  const paths = (found.length > 1 ? found : [...calls.values()]).map(({ call }) => call.path);
  throw new BackspinError(
    'NotFound',
    found.length > 1
      ? `"${wanted}" names several steps; give one of ${paths.join(', ')}.`
      : `The plan has no step "${wanted}"${suggest(wanted, paths)}.`,
  );
}

/** Throws for a step that is no map, and if it needs a model that is not trained yet. */
export async function trialOf(
  bound: BoundConfig,
  planned: PlannedCalls,
  wanted: PlannedCall,
  records: number,
  store: Store,
): Promise<Experiment> {
  const { path, verb } = wanted.call;
  if (verb !== 'map')
    throw new BackspinError('ConfigError', `Step ${path} is no map: \`backspin try\` runs steps that work on one record after another.`);
  const read = new Map<string, DatasetRef>();
  const steps: TrialStep[] = [];
  const imports: Record<string, string> = {};
  for (const { call, result } of neededFor(wanted, planned)) {
    if (isSource(call)) read.set((result as AnyRef).digest, await firstOf(call, planned, store));
    else if (isImport(call)) imports[call.path.slice('model-'.length)] = (result as AnyRef).digest;
    else
      steps.push({
        path: call.path,
        verb: call.verb as TrialStep['verb'],
        operation: call.operation,
        inputs: call.inputs,
        planned: result,
      });
  }
  return experimentOf(bound, {
    steps: steps.map((step) => withRead(step, read) as TrialStep),
    records,
    imports,
  });
}

/** A throw-away experiment that sends one prompt to a model of another. `model`: real, or the planned result of an import. */
export async function questionTo(
  bound: BoundConfig,
  planned: PlannedCalls,
  asked: { readonly role: string; readonly model: AnyRef; readonly prompt: object; readonly sampling: object },
  store: Store,
): Promise<Experiment> {
  const { role, model, prompt, sampling } = asked;
  const producer = [...planned.calls.values()].find(({ call, result }) => isImport(call) && (result as AnyRef).digest === model.digest);
  if (!isReal(model) && !producer) refuseUntrained(producerOf(model, planned)!.call.path, 'The question', planned);
  const writer = store.write(RECORDS);
  await writer.add({ id: createHash('sha256').update(JSON.stringify(prompt)).digest('hex'), from: [], value: { prompt } });
  const over = await writer.commit('exact');
  const step: TrialStep = {
    path: 'ask',
    verb: 'map',
    operation: 'std.ask',
    inputs: { over, with: { model }, params: { sampling } },
    planned: { kind: 'dataset', digest: 'planned:ask', rows: 1 },
  };
  const imports: Record<string, string> = producer ? { [producer.call.path.slice('model-'.length)]: model.digest } : {};
  const serving = bound.roles[role];
  return experimentOf({ ...bound, roles: serving ? { model: serving } : {} }, { steps: [step], records: 1, imports });
}

function experimentOf(bound: BoundConfig, parameters: Pick<TrialConfig, 'steps' | 'records' | 'imports'>): Experiment {
  // An external model is known by what its file declares, so a finished step may need one that it does not import.
  const models = Object.entries(bound.models).filter(([name, model]) => name in parameters.imports || 'external' in model);
  const trial: BoundConfig = {
    ...bound,
    name: `${TRIAL}-${randomBytes(6).toString('hex')}`,
    recipe: TRIAL,
    data: {},
    models: Object.fromEntries(models),
    evaluation: {},
    parameters,
  };
  return { bound: trial, digest: configDigest(trial) };
}

/** The step that gives a result. */
export const producerOf = (ref: AnyRef, { calls }: PlannedCalls): PlannedCall | undefined =>
  [...calls.values()].find(({ result }) => refsIn(result).some(({ digest }) => digest === ref.digest));

/** The steps that a step needs and that the store does not have, in their order, and itself. */
function neededFor(wanted: PlannedCall, planned: PlannedCalls): PlannedCall[] {
  const needed = new Set([wanted]);
  for (const { call } of needed)
    for (const ref of refsIn(call.inputs)) {
      const producer = isReal(ref) ? undefined : producerOf(ref, planned);
      if (!producer || needed.has(producer)) continue;
      if (producer.call.verb === 'train') refuseUntrained(producer.call.path, `Step ${wanted.call.path}`, planned);
      if (producer.call.verb === 'evaluate')
        throw new BackspinError(
          'ConfigError',
          `Step ${wanted.call.path} needs the report of step ${producer.call.path}, which does not exist yet.`,
        );
      needed.add(producer);
    }
  return [...planned.calls.values()].filter((one) => needed.has(one));
}

function refuseUntrained(training: string, who: string, { context }: PlannedCalls): never {
  throw new BackspinError(
    'ConfigError',
    `${who} needs the model of step ${training}, which is not trained yet: launch ${context.experiment}, and try again once that step has ended.`,
  );
}

/** The first records of a source, as a dataset of the store. */
async function firstOf(call: StepCall, { registry }: PlannedCalls, store: Store): Promise<DatasetRef> {
  const dataset = hubDatasetOf(call, registry);
  if (dataset && !(await isAtHand(dataset, sourceOf(call, registry))))
    throw new BackspinError(
      'ConfigError',
      `${call.path} reads ${dataset.repository}, which is not downloaded yet: launch the experiment first, whose step ${call.path} downloads it.`,
    );
  const writer = store.write(RECORDS);
  try {
    const records = keptRecords(recordsOf(call, registry, checkParams(call, registry)));
    for (const record of await take(records, READ)) await writer.add(record);
    return await writer.commit('exact');
  } finally {
    await writer.abort();
  }
}

/** The first records, or all if there are fewer. */
export async function take(records: AsyncIterable<Rec<unknown>>, count: number): Promise<Rec<unknown>[]> {
  const taken: Rec<unknown>[] = [];
  for await (const record of records) {
    taken.push(record);
    if (taken.length === count) break;
  }
  return taken;
}

/** Puts the datasets that were read in the place of planned ones. Nobody knows the rows of others. */
function withRead(value: unknown, read: ReadonlyMap<string, DatasetRef>): unknown {
  if (isRef(value)) return read.get(value.digest) ?? (isReal(value) || value.kind !== 'dataset' ? value : { ...value, rows: 0 });
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => withRead(one, read));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withRead(inner, read)]));
}

/** What a trial reads, in a sentence. */
export const readSentence = (records: number): string =>
  `Of each source the first ${number(READ)} records are read, and each map works on the first ${number(records)} of its own.`;
