/** Prepares and commits a training: renders its rows, writes the trainer's spec, and stores the model. `devices/` runs the subprocess. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetRef, ModelRef } from '../schemas/call.ts';
import type { Trained } from '../devices/trainer.ts';
import type { Settings } from '../recipe/api.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { TrainSpec } from '../schemas/trainer.ts';
import type { Output } from '../schemas/store.ts';
import { isThere } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { DropCounter, weakestDeterminism, outputOf } from './commit.ts';
import { bestOf, putCurve } from './curve.ts';
import { checkConservation } from './joined.ts';
import { threadsOf } from './machine.ts';
import type { MicroBatches } from './micro-batches.ts';
import { trainingSeed } from './call-inputs.ts';
import type { Resolved } from './resolved.ts';
import { dropRefused, rowsFile, writeRows, type Refused, type Rendering } from './rows.ts';
import { pairLossOf, withTrainingDefaults } from './training-defaults.ts';
import type { StepContext } from '../schemas/steps.ts';

type Inputs = Settings & {
  readonly from: ModelRef;
  readonly data: DatasetRef;
  readonly template?: string;
  readonly repeat?: number;
  readonly reference?: ModelRef;
};
const inputsOf = (resolved: Resolved) => resolved.call.inputs as unknown as Inputs;

/** The run folder: spec, rows, events, checkpoints, model. It survives crashes; the commit deletes it. */
export const runFolder = (store: Store, stepKey: string) => join(store.work(stepKey), 'run');

/** Looks up a number that depends on the size of the data: the entry whose rows are nearest in ratio. */
export function byRows(rows: number, table: readonly (readonly [rows: number, value: number])[]): number {
  const distance = (at: number) => Math.abs(Math.log(Math.max(at, 1) / Math.max(rows, 1)));
  return table.reduce((a, b) => (distance(b[0]) < distance(a[0]) ? b : a))[1];
}
/** The last entry whose `from` is at most `rows`. */
export const fromRows = (rows: number, table: readonly (readonly [from: number, value: number])[]): number =>
  (table.filter(([from]) => from <= rows).at(-1) ?? table[0]!)[1];

/** Global batch size and number of steps of a training on `rows` rows. An epoch has rows / batch steps, rounded up. */
export function lengthOf(settings: Pick<Settings, 'length' | 'batch'>, rows: number): { batch: number; steps: number } {
  const batch = typeof settings.batch === 'number' ? settings.batch : fromRows(rows, settings.batch.byRows);
  const { length } = settings;
  const steps =
    'steps' in length
      ? length.steps
      : 'epochs' in length
        ? Math.ceil(length.epochs * Math.ceil(rows / batch))
        : byRows(rows, length.stepsByRows);
  return { batch, steps: Math.max(1, steps) };
}

const renderingOf = (store: Store, registry: Registry, resolved: Resolved): Rendering => {
  const { data, template, evaluate } = inputsOf(resolved);
  return { store, registry, data, template, share: evaluate?.share, folder: runFolder(store, resolved.stepKey) };
};

/** The micro-batches that are known, and the kind of device that will compute. */
export interface KnownMicroBatches {
  readonly known: MicroBatches;
  readonly device: string;
}

/** Writes the rows, and the spec for the rows left to train on (all of them until the trainer has refused some). A resumed training reuses
 *  its files. Throws `SchemaError` if no row is left, or if a row is too long and must not be. */
export async function prepareTraining(
  store: Store,
  registry: Registry,
  resolved: Resolved,
  context: StepContext,
  micro?: KnownMicroBatches,
): Promise<TrainSpec> {
  const settings = inputsOf(resolved);
  const rendering = renderingOf(store, registry, resolved);
  const { folder } = rendering;
  const { kept: rows, heldOut, refused } = await writeRows(rendering);
  checkRows(resolved, rows, refused);
  checkHeldOut(resolved, rows, heldOut, context);
  const { batch, steps } = lengthOf(settings, rows - heldOut);
  const { state } = await store.model(settings.from);
  if (state === 'init' && context.training.command)
    throw new BackspinError(
      'ConfigError',
      `Training ${resolved.call.path}: a command trains weights, and this model has none yet: leave \`engine: command\` out.`,
    );
  const { folder: parent, base } = await foldersOf(store, settings.from);
  const { microBatch, shard = 'none', deterministic = false } = context.training;
  const { evaluate } = settings;
  const spec: TrainSpec = {
    version: 1,
    ...withTrainingDefaults(settings),
    from: state === 'weights' ? parent : null,
    base,
    init:
      state === 'init'
        ? ({
            ...(JSON.parse(await readFile(join(parent, 'init.json'), 'utf8')) as { architecture: object; seed: number }),
            tokenizer: parent,
          } as never)
        : null,
    data: rowsFile(folder),
    rows,
    run: folder,
    seed: trainingSeed(resolved.call, context),
    steps,
    batch,
    ...pairLossOf(settings),
    reference: settings.reference ? await foldersOf(store, settings.reference) : null,
    microBatch: typeof microBatch === 'number' ? microBatch : null,
    shard,
    deterministic,
    evaluate: evaluate ? { every: evaluate.every ?? Math.ceil(steps / 10), patience: evaluate.patience ?? null } : null,
    checkpointEvery: Math.ceil(steps / 4),
    checkpointSeconds: CHECKPOINT_SECONDS,
    keepCheckpoints: 2,
    threads: threadsOf(context.training),
  };
  const known = micro?.known.get(settings.from.digest, micro.device, spec);
  return known === undefined ? spec : { ...spec, microBatch: Math.min(known, spec.microBatch ?? known) };
}

/** Seconds of computing that a crash may cost. */
const CHECKPOINT_SECONDS = 600;

/** Folder of a model, and of its base if it is an adapter. */
export async function foldersOf(store: Store, model: ModelRef): Promise<{ folder: string; base: string | null }> {
  const { base } = await store.model(model);
  return { folder: await store.modelFolder(model), base: base && (await store.modelFolder({ digest: base })) };
}

function checkRows({ call }: Resolved, kept: number, refused: readonly Refused[]): void {
  const { tooLong, data } = call.inputs as unknown as Inputs;
  const named = ({ record, evidence }: Refused) => `record ${record.id} ${evidence}`;
  const long = tooLong === 'fail' ? refused.filter(({ reason }) => reason === 'too-long') : [];
  if (long.length > 0)
    throw new BackspinError(
      'SchemaError',
      `Training ${call.path}: ${long.length} of ${data.rows} rows are too long, such as ${named(long[0]!)}: raise maxTokens, or set tooLong to "drop" or "truncate".`,
    );
  if (kept > 0) return;
  if (data.rows === 0)
    throw new BackspinError(
      'ConfigError',
      `The training data ${data.digest.slice(0, 16)} has no rows: the step that gave it kept none. \`backspin show\` with \`--dropped all\` says why; loosen what selects them, then retry the step.`,
    );
  const reasons = Object.entries(Object.groupBy(refused, ({ reason }) => reason)).map(([reason, those]) => `${those!.length} ${reason}`);
  throw new BackspinError(
    'SchemaError',
    `Training ${call.path}: none of its ${data.rows} rows can be trained on (${reasons.join(', ')}), such as ${named(refused[0]!)}: give it other data or settings.`,
  );
}

function checkHeldOut({ call }: Resolved, rows: number, heldOut: number, { training: { command } }: StepContext): void {
  const { evaluate } = call.inputs as unknown as Inputs;
  if (evaluate === undefined) return;
  if (command)
    throw new BackspinError('ConfigError', `Training ${call.path}: a command measures held-out rows itself: leave \`evaluate\` out.`);
  if (heldOut === 0 || heldOut === rows)
    throw new BackspinError(
      'ConfigError',
      `Training ${call.path}: \`evaluate.share\` of ${evaluate.share} holds out ${heldOut === 0 ? 'none' : 'all'} of ${rows} rows: ${heldOut === 0 ? 'raise' : 'lower'} it, or leave \`evaluate\` out.`,
    );
}

/** Stores the trained model. Equal trainings give equal bytes, and so the same model. */
export async function commitTraining(
  store: Store,
  registry: Registry,
  resolved: Resolved,
  spec: TrainSpec,
  done: Omit<Trained, 'result' | 'loss'>,
): Promise<Output> {
  const settings = inputsOf(resolved);
  const { rows } = settings.data;
  const kept = spec.rows ?? rows;
  const drops = new DropCounter(store);
  if (kept < rows) await dropRefused(renderingOf(store, registry, resolved), drops);
  checkConservation(resolved, rows === kept + drops.count);
  // Sums over micro-batches are rounded otherwise than those over the batch, and memory decides how many there are.
  const own = done.accumulation > 1 ? 'sampled' : resolved.determinism;
  const determinism = await weakestDeterminism(store, own, [
    settings.data,
    settings.from,
    ...(settings.reference ? [settings.reference] : []),
  ]);
  const { from, base, init, data, run, threads, reference, ...recorded } = spec;
  const best = bestOf(done.steps);
  const last = (spec.evaluate?.patience ? best : undefined) ?? done.steps.at(-1);
  const model = await store.putModel(join(spec.run, 'model'), {
    state: 'weights',
    base: await baseOf(store, settings.from, spec),
    from: settings.from.digest,
    dataset: settings.data.digest,
    template: settings.template ?? null,
    settings: {
      ...recorded,
      rows: { in: rows, kept, dropped: drops.counts, truncated: done.truncated },
      ...(settings.evaluate && { evaluate: settings.evaluate, validationLoss: last?.validationLoss ?? null }),
      computing: done.computing,
    },
    steps: last?.step ?? spec.steps,
    lastLearningRate: last?.learningRate ?? done.lastLearningRate,
    determinism,
  });
  const counts = { in: rows, kept, dropped: drops.counts, requests: 0, tokens: done.tokens, seconds: done.seconds };
  const output = await store.putOutput({
    ...outputOf(resolved, model, counts, await drops.commit(determinism), determinism),
    ...(await putCurve(store, done.steps)),
  });
  await store.clearWork(resolved.stepKey);
  return output;
}

/** The full weights that a trained adapter applies to: the model it started from, or that model's base, or both merged. Null: it is no adapter.
 *  A command need not do as `lora` says, and merges nothing. */
async function baseOf(store: Store, from: ModelRef, spec: TrainSpec): Promise<string | null> {
  if (!(await isThere(join(spec.run, 'model', 'adapter_config.json')))) return null;
  const { kind, digest, files, base, ...about } = await store.model(from);
  if (base === null) return digest;
  if (!(await isThere(join(spec.run, 'base')))) return base;
  return (await store.putModel(join(spec.run, 'base'), { ...about, base: null, from: digest })).digest;
}
