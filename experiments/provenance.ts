/** What stands behind an export: the steps that led to it, the models and prompts that they used, licenses, trainings and metrics. */
import { basename } from 'node:path';
import { isRef, refsIn, type AnyRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { CurvePoint, Output } from '../schemas/store.ts';
import { addUses, type TokenUses } from '../schemas/steps.ts';
import { digestOf } from '../steps/prompt-files.ts';
import type { Store } from '../store/store.ts';
import { metricCells, type MetricCell } from './intervals.ts';
import { licensesOf, type License } from './licenses.ts';
import { lineageOf } from './lineage.ts';
import { namesIn } from './registered-names.ts';
import { viewOf } from './view.ts';

/** A finished step. */
export interface Made {
  readonly step: Step;
  readonly output: Output;
}
export interface Provenance {
  /** The steps that led to the export, as far as the store has their outputs, in the order of their start. The last made it. */
  readonly steps: readonly Made[];
  readonly licenses: readonly License[];
}

/** `maker`: the step that made what is exported; undefined: none in this experiment. */
export async function provenanceOf(store: Store, record: ExperimentRecord, maker: Step | undefined): Promise<Provenance> {
  if (!maker) return { steps: [], licenses: [] };
  const { edges } = await lineageOf(store, record);
  const paths = new Set([maker.path]);
  for (const path of paths) for (const { from, to } of edges) if (to === path) paths.add(from);
  const behind = record.steps.filter(({ path }) => paths.has(path) && path !== maker.path);
  const steps: Made[] = [];
  for (const step of [...behind, maker]) {
    const output = step.stepKey === null ? undefined : await store.output(step.stepKey);
    if (output) steps.push({ step, output });
  }
  return { steps, licenses: await licensesOf(record.config as BoundConfig, behind) };
}

/** The last step that gave this. */
export const makerOf = ({ steps }: Pick<ExperimentRecord, 'steps'>, { digest }: Pick<AnyRef, 'digest'>): Step | undefined =>
  steps.findLast(({ result }) => refsIn(result).some((ref) => ref.digest === digest));

/** The model of an experiment file that a step imported. */
export function originOf(
  { steps, config }: Pick<ExperimentRecord, 'steps' | 'config'>,
  digest: string,
): BoundConfig['models'][string] | undefined {
  const { models } = config as BoundConfig;
  const imported = steps.find(
    ({ path, result }) => path.startsWith('model-') && result !== null && isRef(result) && result.digest === digest,
  );
  return imported && models[imported.path.slice('model-'.length)];
}

/** What a model is called: a repository at a commit, a server's name and declared revision, a folder, or the step that trained it. */
export function modelName(record: ExperimentRecord, digest: string): string {
  const origin = originOf(record, digest);
  if (!origin) return makerOf(record, { digest })?.path ?? 'of another experiment';
  if ('hub' in origin)
    return `${origin.hub}${origin.file === undefined ? '' : `/${origin.file}`} at ${origin.revision}, commit ${origin.commit}`;
  if ('external' in origin) return `${origin.external.model} of an external server, declared revision ${origin.external.revision}`;
  return 'path' in origin ? `folder ${basename(origin.path)}` : 'without weights';
}

/** Requests and tokens of these steps, by digest of the model that answered. */
export function usesOf(steps: readonly Made[]): TokenUses {
  return steps.reduce<TokenUses>((sum, { output }) => addUses(sum, output.uses), {});
}

/** A prompt, its version, and the files that may define it with their sha256: that of a Jinja file is of its text with the rows of its tables. */
export interface UsedPrompt {
  readonly id: string;
  readonly version: number;
  readonly files: Readonly<Record<string, string>>;
}

export function promptsOf({ modules }: Pick<BoundConfig, 'modules'>, steps: readonly Made[]): UsedPrompt[] {
  const named = new Map<string, UsedPrompt>();
  for (const { output } of steps)
    for (const { kind, id } of namesIn(output.params, []))
      if (kind === 'prompt' && id in output.versions)
        named.set(id, { id, version: output.versions[id]!, files: filesOf(modules, output, id) });
  return [...named.values()];
}

function filesOf(modules: BoundConfig['modules'], { sources }: Output, id: string): UsedPrompt['files'] {
  const digest = digestOf(id);
  const named = (those: BoundConfig['modules']) => Object.fromEntries(those.map((one) => [basename(one.path), one.digest]));
  if (digest !== undefined) return named(modules.filter((one) => one.digest === digest));
  const own = Object.entries(sources).filter(([file]) => file === `operators/${id.split('.')[0]}/prompts.ts`);
  return own.length > 0 ? Object.fromEntries(own) : named(modules.filter(({ path }) => path.endsWith('.ts')));
}

/** Most points of a curve in a card. */
const MOST_POINTS = 10;

/** Points of a training's curve at equal distances, the last among them: those with a validation loss, if there are any. */
export async function curveOf(store: Store, { curve }: Output): Promise<CurvePoint[]> {
  if (!curve || !(await store.has(curve.records))) return [];
  const all: CurvePoint[] = [];
  for await (const { value } of store.read(curve.records)) all.push(value as CurvePoint);
  const validated = all.filter(({ validationLoss }) => typeof validationLoss === 'number');
  const points = validated.length > 0 ? validated : all;
  const count = Math.min(points.length, MOST_POINTS);
  return Array.from({ length: count }, (_, at) => points[Math.ceil(((at + 1) * points.length) / count) - 1]!);
}

export interface Metrics {
  /** Of the round of the step and those before, and of its arm. */
  readonly rounds: readonly MetricCell[];
  /** The evaluations of the model itself, each with what it gave last. */
  readonly own: readonly { readonly evaluation: Step; readonly cells: readonly MetricCell[] }[];
}

export async function metricsOf(store: Store, record: ExperimentRecord, step: Step, model: Pick<AnyRef, 'digest'>): Promise<Metrics> {
  const cells = async (steps: readonly Step[]) => metricCells(await viewOf(store, { ...record, steps: [...steps] }));
  const until = record.steps.filter(
    ({ round, arm }) => (round ?? 0) <= (step.round ?? 0) && (arm === step.arm || (round === null && arm === null)),
  );
  const own = new Map<string, Step>();
  for (const one of record.steps) {
    const measured = one.kind === 'evaluate' && one.stepKey !== null ? await store.output(one.stepKey) : undefined;
    if (measured?.inputs.includes(model.digest)) own.set(one.name, one);
  }
  return {
    rounds: await cells(until),
    own: await Promise.all([...own.values()].map(async (evaluation) => ({ evaluation, cells: await cells([evaluation]) }))),
  };
}
