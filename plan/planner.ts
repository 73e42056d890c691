/** Plans an experiment: runs its recipe without running steps. Steps that are in the store return their real results, so rules decide on
 *  real reports. Other steps return symbols, and `decide` then returns `assume`. */
import { runRecipe, contextOf } from '../recipe/inputs.ts';
import { RecipeRuntime, type Gate, type StepEngine } from '../recipe/runtime.ts';
import {
  fingerprintOf,
  isRef,
  refsIn,
  type AnyRef,
  type DatasetRef,
  type ModelRef,
  type ReportRef,
  type Result,
  type StepCall,
} from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { Plan, PlannedStep } from '../schemas/plan.ts';
import type { StepContext } from '../schemas/steps.ts';
import { lacksItsWeights } from '../steps/checks.ts';
import { checkParams, sourceOf } from '../steps/definitions.ts';
import { lacksWeights } from '../steps/external.ts';
import { hubDatasetOf, isAtHand } from '../steps/hub-data.ts';
import type { Machine } from '../steps/machine.ts';
import { lookUp } from '../steps/open.ts';
import type { Registry } from '../steps/registry.ts';
import { resolve } from '../steps/resolve.ts';
import type { Services } from '../steps/services.ts';
import { recordsOf } from '../steps/source.ts';
import { Unread } from '../store/digests.ts';
import { modelParts } from '../store/models.ts';
import { recipes } from '../workflows/recipes/index.ts';
import { trainingFault } from './devices.ts';
import { estimateOf, keptRecords, type Estimate, type RecordsIn } from './estimate.ts';
import { faultsIn } from './faults.ts';
import { memoryWarning } from './memory.ts';
import { ModelChecks } from './model-checks.ts';
import { misfitOf, type Sample } from './misfits.ts';
import { PlannedModels } from './models.ts';
import { settingsLeftOut } from './replies.ts';
import { plannedStep, poolOf, type StoredStep } from './planned-step.ts';
import { isReal, symbolOf } from './symbols.ts';

export const plan = async (services: Services, config: BoundConfig): Promise<Plan> =>
  (await runPlanner(services, config, { whole: true, rounds: Infinity, pins: {} })).plan(config);

/** A plan, and its calls. */
export async function planned(services: Services, config: BoundConfig): Promise<{ readonly plan: Plan; readonly calls: PlannedCalls }> {
  const planner = await runPlanner(services, config, { whole: true, rounds: Infinity, pins: {} });
  const plan = planner.plan(config);
  return { plan, calls: { calls: planner.calls, missing: plan.missing, registry: planner.registry, context: contextOf(config) } };
}

/** Returns `missing` of a plan without the checks that read complete files, because a launch must be quick. `pins`: steps that a fork
 *  takes from its parent. */
export async function faultsOf(services: Services, config: BoundConfig, pins: Pins = {}): Promise<readonly string[]> {
  return (await runPlanner(services, config, { whole: false, rounds: CHECKED_ROUNDS, pins })).plan(config).missing;
}

/** A step of a plan. What its call reads, and its result, may be planned only. */
export interface PlannedCall {
  readonly call: StepCall;
  readonly result: Result;
  /** The store has the result. */
  readonly known: boolean;
}
export interface PlannedCalls {
  readonly calls: ReadonlyMap<string, PlannedCall>;
  readonly missing: readonly string[];
  readonly registry: Registry;
  readonly context: StepContext;
}
/** The steps of a plan by path, in their order, each after those that it needs. Reads no complete files. */
export async function callsOf(services: Services, config: BoundConfig): Promise<PlannedCalls> {
  const planner = await runPlanner(services, config, { whole: false, rounds: Infinity, pins: {} });
  return { calls: planner.calls, missing: planner.plan(config).missing, registry: planner.registry, context: contextOf(config) };
}
type Pins = { readonly [path: string]: { readonly entry: LedgerEntry } };
interface Options {
  /** Reads complete files. */
  readonly whole: boolean;
  readonly rounds: number;
  readonly pins: Pins;
}
/** Rounds that a launch checks; later rounds are like the second. */
const CHECKED_ROUNDS = 2;

async function runPlanner(services: Services, config: BoundConfig, options: Options): Promise<Planner> {
  const planner = new Planner(services, contextOf(config), await services.registry(config.modules), options);
  const results = await runRecipe(new RecipeRuntime(planner), recipes[config.recipe]!, config);
  for (const [name, ref] of Object.entries(results) as [string, AnyRef][]) planner.checkResult(name, ref);
  await planner.checkModels();
  return planner;
}

class Planner implements StepEngine {
  readonly calls = new Map<string, PlannedCall>();
  readonly registry: Registry;
  readonly #services: Services;
  readonly #context: StepContext;
  readonly #machine: Machine;
  readonly #options: Options;
  readonly #models: PlannedModels;
  readonly #modelChecks = new ModelChecks();
  readonly #steps = new Map<string, PlannedStep>();
  readonly #questions: { path: string; answer: unknown; assumed: boolean }[] = [];
  readonly #warnings: string[] = [];
  /** Paths of the gates on records. */
  readonly #gates: string[] = [];
  readonly #leftOut: { path: string; files: readonly string[] }[] = [];
  readonly #missing: string[] = [];
  /** Digest -> path of the first step that produces it. */
  readonly #producers = new Map<string, string>();
  /** Fingerprint -> path of the step that equal calls share. */
  readonly #paths = new Map<string, string>();
  /** Digest of a source's dataset -> its first records. */
  readonly #samples = new Map<string, readonly Sample[]>();
  /** Digest of a source's dataset -> the call that reads it. */
  readonly #sources = new Map<string, StepCall>();

  constructor(services: Services, context: StepContext, registry: Registry, options: Options) {
    this.#services = services;
    this.#context = context;
    this.registry = registry;
    const { machine } = services;
    this.#machine = { ...machine, files: { of: (path: string) => machine.files.of(path, options.whole) } };
    this.#options = options;
    this.#models = new PlannedModels(services.store, context);
  }

  async perform(call: StepCall): Promise<Result> {
    const registry = this.registry;
    const stored = await this.#stored(call);
    const known = stored.known !== undefined;
    const unused = call.operation === 'model:path' ? (await modelParts(call.inputs['path'] as string)).leftOut : [];
    if (unused.length > 0) this.#leftOut.push({ path: call.path, files: unused });
    const unread = !this.#options.whole || (!known && (await this.#isRemote(call)));
    const estimate = unread ? UNBOUNDED : await estimateOf(call, registry, known, this.#recordsIn);
    const result = stored.known?.result ?? symbolOf(call, registry, estimate.rows ?? 0);
    if (isRef(result) && call.operation.startsWith('source:') && !unread) this.#sources.set(result.digest, call);
    const sample = estimate.sample ?? this.#filteredSample(call);
    if (isRef(result) && sample) this.#samples.set(result.digest, sample);
    await this.#check(call, known);
    const needs = [...new Set(refsIn(call.inputs).flatMap((ref) => this.#producers.get(ref.digest) ?? []))];
    for (const ref of refsIn(result)) if (!this.#producers.has(ref.digest)) this.#producers.set(ref.digest, call.path);
    const absent = isRef(result) && result.kind === 'model' ? await this.#models.add(call, result) : undefined;
    if (absent !== undefined) this.#missing.push(absent);
    this.#paths.set(fingerprintOf(call), call.path);
    this.calls.set(call.path, { call, result, known });
    const { sizes } = this.#models;
    const pool = poolOf(call, this.#context, registry);
    this.#steps.set(call.path, plannedStep(call, stored, estimate, result, { needs, pool, sizes }));
    return result;
  }

  shared(call: StepCall, result: Promise<Result>): void {
    const share = () => {
      const first = this.#steps.get(this.#paths.get(fingerprintOf(call))!)!;
      const name = { path: call.path, arm: call.arm, round: call.round, name: call.label };
      this.#steps.set(call.path, { ...first, ...name, cached: true, requests: 0, trainingSteps: 0, bytes: 0 });
      this.calls.set(call.path, { ...this.calls.get(first.path)!, call });
    };
    result.then(share, () => {}); // the recipe gets the error
  }

  async decide(path: string, reports: Readonly<Record<string, ReportRef>>, rule: () => unknown, assume: unknown): Promise<unknown> {
    const real = Object.values(reports).every(isReal);
    const answer = real ? rule() : assume;
    this.#questions.push({ path, answer, assumed: !real });
    return answer;
  }

  async gate(of: DatasetRef | ReportRef, { path, short }: Gate): Promise<void> {
    if (of.kind === 'dataset') this.#gates.push(path);
    if (isReal(of) && short !== null) this.#warnings.push(`the gate ${path} will wait for a person: it ${short}`);
  }

  async round(number: number, moment: 'begin' | 'end'): Promise<boolean> {
    return number < this.#options.rounds || moment === 'begin';
  }

  checkResult(name: string, ref: AnyRef): void {
    const unexportable = ref.kind === 'model' && lacksWeights(this.#context, ref, 'exported');
    if (unexportable) this.#missing.push(`Result "${name}": ${unexportable}`);
  }

  async checkModels(): Promise<void> {
    this.#missing.push(...(await this.#modelChecks.faults()));
  }

  plan({ name: experiment, recipe, models, data, review }: BoundConfig): Plan {
    const steps = [...this.#steps.values()];
    const sum = (of: (step: PlannedStep) => number | null) => steps.reduce((total, step) => total + (of(step) ?? 0), 0);
    return {
      experiment,
      recipe,
      origins: originsOf(models, data),
      steps,
      questions: this.#questions,
      warnings: [...this.#warnings, ...reviewsOf(this.#gates, review)],
      leftOut: this.#leftOut,
      missing: this.#missing,
      totals: {
        steps: steps.length,
        cached: steps.filter((step) => step.cached).length,
        requests: sum((step) => step.requests),
        trainingSteps: sum((step) => step.trainingSteps),
        bytes: sum((step) => step.bytes),
      },
    };
  }

  /** The first records of what a filter reads: it changes none. */
  #filteredSample({ verb, operation, inputs }: StepCall): readonly Sample[] | undefined {
    if (verb !== 'reduce' || !('inputs' in inputs) || !('filters' in this.registry.reducer(operation))) return undefined;
    return this.#samples.get((inputs['inputs'] as { of: DatasetRef }).of.digest);
  }

  async #stored(call: StepCall): Promise<StoredStep> {
    const real = refsIn(call.inputs).every(isReal);
    const resolved = real ? await resolve(call, this.#context, this.registry, this.#machine).catch(unlessUnread) : undefined;
    const known = this.#options.pins[call.path]?.entry ?? (resolved && (await lookUp(this.#services, resolved)));
    const output = known && (await this.#services.store.output(known.stepKey));
    return { stepKey: known?.stepKey ?? resolved?.stepKey ?? null, known, output };
  }

  /** Whether the step reads large files that are not here yet. */
  async #isRemote(call: StepCall): Promise<boolean> {
    const dataset = hubDatasetOf(call, this.registry);
    return dataset !== undefined && !(await isAtHand(dataset, sourceOf(call, this.registry)));
  }

  async #check(call: StepCall, known: boolean): Promise<void> {
    const weightless = lacksItsWeights(this.#context, call);
    if (weightless) this.#missing.push(weightless);
    for (const sentence of settingsLeftOut(call, this.#context, this.registry))
      if (!this.#warnings.includes(sentence)) this.#warnings.push(sentence);
    if (!known) this.#modelChecks.add(call, this.#context, this.registry, (model) => this.#models.originOf(model));
    const misfit = misfitOf(call, this.registry, this.#samples);
    if (misfit) (misfit.all ? this.#missing : this.#warnings).push(misfit.sentence);
    const refused = known ? undefined : trainingFault(call, this.#context, this.#machine);
    if (refused) this.#missing.push(refused);
    const from = call.verb === 'train' ? this.#models.sizes.get((call.inputs as { from: ModelRef }).from.digest) : undefined;
    const large = from && !known ? memoryWarning(call, this.#context, this.#machine, from.shape) : undefined;
    if (large) this.#warnings.push(large);
    for (const fault of await faultsIn(call, known, this.#context, this.registry, this.#models))
      if (!this.#missing.includes(fault)) this.#missing.push(fault);
  }

  #recordsIn: RecordsIn = (ref) => {
    if (isReal(ref)) return this.#services.store.read(ref);
    const source = this.#sources.get(ref.digest);
    return source && keptRecords(recordsOf(source, this.registry, checkParams(source, this.registry)));
  };
}

function reviewsOf(gates: readonly string[], review: number | undefined): string[] {
  if (review === undefined) return [];
  if (gates.length === 0) return ['`review` has no effect: the recipe has no gate on records'];
  return [`${gates.join(', ')} wait${gates.length === 1 ? 's' : ''} for a person to review ${review} records each`];
}

function originsOf(models: BoundConfig['models'], data: BoundConfig['data']): Plan['origins'] {
  const at = (hub: string, { revision, commit }: { revision: string; commit: string }) =>
    `${hub} of the Hub at ${revision}, commit ${commit}`;
  const ofModels = Object.entries(models).flatMap(([name, model]) => {
    if ('path' in model) return [{ name, from: `the folder ${model.path}` }];
    return 'hub' in model ? [{ name, from: at(model.hub, model) }] : [];
  });
  return [...ofModels, ...Object.entries(data).flatMap(([name, { hub }]) => (hub ? [{ name, from: at(hub.repository, hub) }] : []))];
}

/** The estimate of a step whose inputs are not read: no bounds. */
const UNBOUNDED: Estimate = { in: Infinity, rows: Infinity, requests: Infinity, trainingSteps: Infinity };

function unlessUnread(error: unknown): undefined {
  if (!(error instanceof Unread)) throw error;
}
