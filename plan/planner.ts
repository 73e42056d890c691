/**
 * The planning `Run`: what an experiment would do, before anything runs. Steps that were done before give their real results, so
 * rules decide on real reports; behind the first miss results are symbols, and `decide` goes by `assume`.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  canonical,
  embeds,
  fingerprintOf,
  isRef,
  refsIn,
  type AnyRef,
  type StepCall,
  type DatasetRef,
  type ModelRef,
  type ReportRef,
  type Result,
} from '../schemas/call.ts';
import { contextOf, runRecipe, type DeclaredModel } from '../recipe/inputs.ts';
import { RecipeRuntime } from '../recipe/runtime.ts';
import type { Registry } from '../steps/registry.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { Plan, PlannedStep } from '../schemas/plan.ts';
import { recipes } from '../workflows/recipes/index.ts';
import { estimateOf, finite, kept, type Estimate, type RecordsIn } from './estimate.ts';
import { externalDigest, externalOf, lacksWeights, ownOf } from '../steps/external.ts';
import { lookUp } from '../steps/open.ts';
import { lacksItsWeights, leaseFault, templateMismatch, uncast, unbatched } from '../steps/checks.ts';
import { checkParams } from '../steps/definitions.ts';
import { Unread } from '../store/digests.ts';
import { castOf, isOffline, servingOf } from '../steps/call-inputs.ts';
import { resolve } from '../steps/resolve.ts';
import type { AnyReducer } from '../steps/resolved.ts';
import type { Services } from '../steps/services.ts';
import type { StepContext } from '../schemas/steps.ts';
import { bytesOfModel, sizeOf, type Size, type Sizes } from './sizes.ts';
import { misfitOf, type Sample } from './misfits.ts';
import { recordsOf } from '../steps/source.ts';
import { modelParts } from '../store/models.ts';

const SYMBOL = 'planned:';
const isReal = (ref: AnyRef) => !ref.digest.startsWith(SYMBOL);

/** What stands in the way of an experiment, a sentence each: what `plan` finds missing, but for what it takes to read whole files. For a
 *  launch, which must not take long. `pins`: what a fork has from its parent. */
export async function faultsOf(services: Services, config: BoundConfig, pins: Pins = {}): Promise<readonly string[]> {
  return (await planned(services, config, { whole: false, pins })).missing;
}
type Pins = { readonly [path: string]: { readonly entry: LedgerEntry } };
/** Rounds that a launch looks at: the later are like the second. */
const ROUNDS = 2;

export const plan = (services: Services, config: BoundConfig): Promise<Plan> => planned(services, config, { whole: true, pins: {} });

async function planned(services: Services, config: BoundConfig, { whole, pins }: { whole: boolean; pins: Pins }): Promise<Plan> {
  const machine = { ...services.machine, files: { of: (path: string) => services.machine.files.of(path, whole) } };
  const context = contextOf(config);
  const registry = await services.registry(config.modules);
  const steps = new Map<string, PlannedStep>();
  const questions: { path: string; answer: unknown; assumed: boolean }[] = [];
  const warnings: string[] = [];
  const leftOut: { path: string; files: readonly string[] }[] = [];
  const missing: string[] = [];
  const makers = new Map<string, string>(); // digest -> path of the first step that gives it
  const paths = new Map<string, string>(); // fingerprint -> path of the step that an equal call shares
  const sizes = new Map<string, Size>();
  const unsupported = new Map<string, string>(); // digest -> why the embedded engine cannot serve it
  const samples = new Map<string, readonly Sample[]>(); // digest -> first records of a source that is to be read
  const templates = new Map<string, string | null>(); // digest -> what a model that is to be trained will be asked in
  const sources = new Map<string, StepCall>(); // digest -> the source that gives it
  const recordsIn: RecordsIn = (ref) => {
    const source = sources.get(ref.digest);
    if (isReal(ref)) return services.store.read(ref);
    return source && kept(recordsOf(source, registry, checkParams(source, registry)));
  };
  const templateOf = async (model: ModelRef) =>
    isReal(model) && !externalOf(context, model) ? (await services.store.model(model)).template : (templates.get(model.digest) ?? null);

  const verbs = new RecipeRuntime({
    async perform(call) {
      const real = refsIn(call.inputs).every(isReal);
      const resolved = real ? await resolve(call, context, registry, machine).catch(unlessUnread) : undefined;
      const known = pins[call.path]?.entry ?? (resolved && (await lookUp(services, resolved)));
      const output = known && (await services.store.output(known.stepKey));
      const idle = call.operation === 'model:path' ? (await modelParts(call.inputs['path'] as string)).leftOut : [];
      if (idle.length > 0) leftOut.push({ path: call.path, files: idle });
      const weightless = lacksItsWeights(context, call);
      if (weightless) missing.push(weightless);
      const estimate = whole ? await estimateOf(call, registry, known !== undefined, recordsIn) : ANY;
      const result = known?.result ?? (await symbolOf(call, registry, estimate));
      if (estimate.sample && isRef(result)) samples.set(result.digest, estimate.sample);
      if (call.operation.startsWith('source:') && isRef(result)) sources.set(result.digest, call);
      const misfit = misfitOf(call, registry, samples);
      if (misfit) (misfit.all ? missing : warnings).push(misfit.sentence);
      if (call.verb === 'train' && isRef(result)) templates.set(result.digest, (call.inputs as { template?: string }).template ?? null);
      const asked = { params: checkParams(call, registry), cast: castOf(call) };
      const mismatch = known ? undefined : await templateMismatch(registry, call, asked, templateOf);
      const own = ownOf(context, asked.cast);
      const bases = new Set(Object.values(own).map(({ digest }) => sizes.get(digest)!.base ?? digest));
      const batch = isOffline(call, context, registry);
      const fault = known || batch ? undefined : leaseFault(call, context, own, bases);
      const unservable = Object.entries(own).flatMap(([role, model]) =>
        !batch && servingOf(context, role).engine === 'embedded' ? (unsupported.get(model.digest) ?? []) : [],
      );
      const lacking = known ? undefined : uncast(call, registry);
      for (const sentence of [lacking, mismatch, fault, unbatched(call, context, registry), ...unservable])
        if (sentence && !missing.includes(sentence)) missing.push(sentence);
      const strangeness = await unsupportedReason(call, unsupported);
      if (strangeness && isRef(result)) unsupported.set(result.digest, strangeness);
      const needs = [...new Set(refsIn(call.inputs).flatMap((ref) => makers.get(ref.digest) ?? []))];
      for (const ref of refsIn(result)) if (!makers.has(ref.digest)) makers.set(ref.digest, call.path);
      if (isRef(result) && result.kind === 'model') sizes.set(result.digest, await sizeOf(call, result, sizes));
      const bytes = known ? 0 : bytesOf(call, estimate, result, sizes);
      paths.set(fingerprintOf(call), call.path);
      steps.set(call.path, {
        path: call.path,
        arm: call.arm,
        round: call.round,
        name: call.label,
        kind: call.verb,
        what: call.operation,
        stepKey: known?.stepKey ?? resolved?.stepKey ?? null,
        state: known ? 'completed' : 'planned',
        cached: known !== undefined,
        in: output?.in ?? finite(estimate.in),
        kept: output?.kept ?? estimate.kept ?? null,
        dropped: output?.dropped ?? estimate.dropped ?? {},
        requests: known ? 0 : finite(estimate.requests),
        trainingSteps: known ? 0 : finite(estimate.trainingSteps),
        seconds: output?.seconds ?? null,
        output:
          isRef(result) && result.kind === 'dataset' && known
            ? { digest: result.digest, rows: result.rows }
            : known && isRef(result)
              ? { digest: result.digest, rows: null }
              : null,
        needs,
        pool: batch ? context.training.pool : poolOf(call, context),
        bytes,
      });
      return result;
    },
    shared(call, result) {
      void result.then(() => {
        const first = steps.get(paths.get(fingerprintOf(call))!)!;
        const name = { path: call.path, arm: call.arm, round: call.round, name: call.label };
        steps.set(call.path, { ...first, ...name, cached: true, requests: 0, trainingSteps: 0, bytes: 0 });
      });
    },
    async decide(path, reports, rule, assume) {
      const real = Object.values<ReportRef>(reports).every(isReal);
      const answer = real ? rule() : assume;
      questions.push({ path, answer, assumed: !real });
      return answer;
    },
    async gate(of, { path, short }) {
      if (isReal(of) && short !== null) warnings.push(`the gate ${path} will wait for a person: it ${short}`);
    },
    round: async (number, moment) => whole || number < ROUNDS || moment === 'begin',
  });
  const results = await runRecipe(verbs, recipes[config.recipe]!, config);
  for (const [name, ref] of Object.entries(results) as [string, AnyRef][]) {
    const unexportable = ref.kind === 'model' && lacksWeights(context, ref, 'exported');
    if (unexportable) missing.push(`Result "${name}": ${unexportable}`);
  }

  const all = [...steps.values()];
  const sum = (of: (step: PlannedStep) => number | null) => all.reduce((total, step) => total + (of(step) ?? 0), 0);
  return {
    experiment: config.name,
    recipe: config.recipe,
    steps: all,
    questions,
    warnings,
    leftOut,
    missing,
    totals: {
      steps: all.length,
      cached: all.filter((step) => step.cached).length,
      requests: sum((step) => step.requests),
      trainingSteps: sum((step) => step.trainingSteps),
      bytes: sum((step) => step.bytes),
    },
  };
}

/** Of a step whose inputs nobody has read: as many records as there may be. */
const ANY: Estimate = { in: Infinity, rows: Infinity, requests: Infinity, trainingSteps: Infinity };
function unlessUnread(error: unknown): undefined {
  if (!(error instanceof Unread)) throw error;
}

/** Bytes of a record in the store, compressed: a guess until there are some. */
const RECORD = 300;

function bytesOf(call: StepCall, { rows }: Estimate, result: Result, sizes: Sizes): number {
  if (isRef(result) && result.kind === 'model') return bytesOfModel(call, result, sizes);
  return call.verb === 'evaluate' ? 0 : (finite((rows ?? 0) * RECORD) ?? 0);
}

function poolOf(call: StepCall, context: StepContext): string | null {
  if (call.verb === 'train' || embeds(call)) return context.training.pool;
  const [role] = Object.keys(ownOf(context, castOf(call)));
  return role === undefined ? null : servingOf(context, role).pool;
}

/** Why the embedded engine cannot serve what the step gives: a model brought in that is no Llama, or one that is trained from such. */
async function unsupportedReason(
  { verb, operation, label, inputs }: StepCall,
  strange: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  if (verb === 'train') return strange.get((inputs as { from: ModelRef }).from.digest);
  if (operation !== 'model:path') return undefined;
  const { architectures = [] } = JSON.parse(await readFile(join(inputs['path'] as string, 'config.json'), 'utf8').catch(() => '{}')) as {
    architectures?: string[];
  };
  if (architectures.includes('LlamaForCausalLM')) return undefined;
  const name = label.slice('model-'.length);
  return `The model "${name}" is ${architectures[0] ?? 'of no stated architecture'}: the embedded engine serves LlamaForCausalLM.`;
}

/** A result that does not exist yet: a reference whose digest says how it would be made. */
async function symbolOf(call: StepCall, registry: Registry, { rows }: Estimate): Promise<Result> {
  const key = createHash('sha256')
    .update(canonical([call.verb, call.operation, call.inputs, call.verb === 'map' ? call.round : null]))
    .digest('hex');
  const dataset = (name: string): DatasetRef => ({ kind: 'dataset', digest: `${SYMBOL}${key}${name}`, rows: rows ?? 0 });
  if (call.verb === 'map' || call.operation.startsWith('source:')) return dataset('');
  if (call.operation === 'model:external') return { kind: 'model', digest: externalDigest(call.inputs as unknown as DeclaredModel) };
  if (call.verb === 'train' || call.operation.startsWith('model:')) return { kind: 'model', digest: `${SYMBOL}${key}` };
  if (call.verb === 'evaluate')
    return { kind: 'report', digest: `${SYMBOL}${key}`, metrics: {}, oracle: registry.suite(call.operation).oracle };
  const { outputs } = registry.reducer(call.operation) as AnyReducer;
  if (outputs === 'report') return { kind: 'report', digest: `${SYMBOL}${key}`, metrics: {}, oracle: false };
  return outputs === null ? dataset('') : Object.fromEntries(outputs.map((name) => [name, dataset(`.${name}`)]));
}
