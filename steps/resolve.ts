/** From a call to a step: definitions, checked parameters, versions, and the key that says what the step is. */
import { resolve as resolvePath } from 'node:path';
import type { Settings } from '../recipe/api.ts';
import type { Budget, StepContext } from '../schemas/steps.ts';
import { embeds, isRef, refsIn, type StepCall, type DatasetRef, type ModelRef } from '../schemas/call.ts';
import { engineIdentity, repeats } from '../devices/engines/index.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Serving } from '../schemas/serving.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { Unread } from '../store/digests.ts';
import { modelFiles } from '../store/models.ts';
import { definedBy, isImport, isSource, operatorParams, promptIds, sourceOf } from './definitions.ts';
import type { AnyOperator, AnyReducer, Resolved } from './resolved.ts';
import { externalOf } from './external.ts';
import { computing, machineOf, repeatsOn, type Machine } from './machine.ts';
import { withTrainingDefaults } from './training-defaults.ts';

/** `machine` is that of the home whose workers carry the step out. */
export async function resolve(call: StepCall, context: StepContext, registry: Registry, machine: Machine = machineOf()): Promise<Resolved> {
  const ids = call.operation.split('>');
  const cast = castOf(call);
  const defined = definedBy(call, registry);
  const { params, versions, sources } = defined;
  const offline = isOffline(call, context, registry);
  const operators = call.verb === 'map' ? ids.map((id) => registry.operator(id) as AnyOperator) : [];
  const own = operators.map((_, i) => operatorParams(call, ids[i]!, registry));
  const subprocess = call.verb === 'train' ? 'train' : embeds(call) ? 'embed' : offline ? 'score' : undefined;
  const files = await fileDigests(call, registry, params, machine);
  const fixed = {
    verb: call.verb,
    files,
    ...(subprocess && { computing: await computing(machine, subprocess, context.training) }),
  };
  const embedded = Object.entries(cast).some(
    ([role, model]) => !externalOf(context, model) && servingOf(context, role).engine === 'embedded',
  );
  const server = embedded && !offline ? await machine.trainer('serve') : undefined;
  const engineOf = (role: string, model: ModelRef) => {
    if (externalOf(context, model)) return 'external';
    const serving = servingOf(context, role);
    return serving.engine === 'embedded' ? { engine: engineIdentity(serving), server } : engineIdentity(serving);
  };
  /** The key of the chain's first operators: what only a later one depends on is no part of it. */
  const keyOf = (length: number) => {
    const whole = length === ids.length;
    const head = whole ? defined : definedBy({ ...call, operation: ids.slice(0, length).join('>') }, registry);
    const roles = whole ? Object.keys(cast) : operators.slice(0, length).flatMap((operator) => operator.roles);
    const asked = Object.entries(cast).filter(([role]) => roles.includes(role));
    const draws =
      call.verb === 'map'
        ? operators.slice(0, length).some((operator, i) => operator.stochastic(own[i]!))
        : drawsOf(call, registry, params);
    return sha256(
      canonicalJson({
        ...fixed,
        what: ids.slice(0, length),
        versions: head.versions,
        modules: head.modules,
        params: digested(call.verb === 'map' ? own.slice(0, length) : params),
        inputs: digested(call.verb === 'map' ? mapInputs(call, asked, whole) : identity(call)),
        ...(call.verb === 'train' ? { seed: trainingSeed(call, context) } : {}),
        ...(draws ? { seed: context.seed, round: call.verb === 'map' || call.verb === 'reduce' ? call.round : null } : {}),
        engines: offline ? {} : Object.fromEntries(asked.map(([role, model]) => [role, engineOf(role, model)])),
      }),
    );
  };
  const chain = operators.map((operator, i) => ({
    operator,
    what: ids.slice(0, i + 1).join('>'),
    stepKey: keyOf(i + 1),
    params: own[i]!,
    prompts: promptIds(own[i]!, registry),
  }));
  const again = subprocess
    ? repeatsOn(machine, context.training)
    : Object.entries(cast).every(([role, model]) => !externalOf(context, model) && repeats(servingOf(context, role)));
  const determinism = !again ? 'sampled' : call.verb === 'train' || drawsOf(call, registry, params) ? 'seeded' : 'exact';
  const inputs = [...new Set(refsIn(call.inputs).map((ref) => ref.digest))].sort();
  const { experiment } = context;
  return {
    call,
    experiment,
    stepKey: keyOf(ids.length),
    registry,
    params,
    versions,
    sources,
    inputs,
    determinism,
    chain,
    cast,
    offline,
    files,
  };
}

/** Records from which on a scorer is a batch: to load the model costs more than to ask a server so many times. */
const MANY = 1000;

/** Whether a map is one batch: a scorer by itself of many records, or of what no server gives, whose model is an own one. */
export function isOffline(call: StepCall, context: StepContext, registry: Registry): boolean {
  if (call.verb !== 'map' || call.operation.includes('>')) return false;
  const { scorer } = registry.operator(call.operation);
  const { over, until, quorum } = call.inputs as { over: DatasetRef; until?: object; quorum?: number };
  const limited = until !== undefined || quorum !== undefined || Object.keys(budgetOf(call)).length > 0;
  const own = Object.values(castOf(call)).every((model) => !externalOf(context, model));
  return scorer !== undefined && own && !limited && (scorer.batch || over.rows >= MANY);
}

/** A training's own seed, or the experiment's; another for each `repeat`. */
export function trainingSeed(call: StepCall, context: StepContext): number {
  const { seed = context.seed, repeat = 0 } = call.inputs as { seed?: number; repeat?: number };
  return seed + 1_000_003 * repeat;
}

export const servingOf = (context: StepContext, role: string): Serving => context.roles[role] ?? context.serving;

/** Role -> model. The model that a suite measures is in the role `model`. */
export function castOf(call: StepCall): Record<string, ModelRef> {
  const { with: cast = {}, of } = call.inputs as { with?: Record<string, ModelRef>; of?: unknown };
  if (call.verb !== 'map' && call.verb !== 'evaluate') return {};
  return call.verb === 'evaluate' && isRef(of) && of.kind === 'model' ? { ...cast, model: of } : { ...cast };
}

/** What of a call is its identity: everything but its parameters, which go apart, paths, whose content goes in their place, and the seed
 *  of a training, whose settings have their defaults. */
function identity(call: StepCall): object {
  const { params: _, folder: __, path: ___, tokenizer: ____, chatTemplate: _____, ...rest } = call.inputs;
  if (call.verb !== 'train') return rest;
  const { seed: ______, repeat: _______, ...training } = rest;
  return { ...training, ...withTrainingDefaults(training as unknown as Settings) };
}

/** Of a map, and for its first operators alone: whoever they ask. A budget changes no result that is whole, and a quorum of 1 is none. */
function mapInputs({ inputs }: StepCall, asked: readonly (readonly [string, ModelRef])[], whole: boolean): object {
  const { with: _, params: __, budget: ___, until, quorum, ...rest } = inputs as { until?: object; quorum?: number } & StepCall['inputs'];
  const limits = { ...(until && { until }), ...(quorum !== undefined && quorum !== 1 && { quorum }) };
  return { ...rest, with: Object.fromEntries(asked), ...(whole && limits) };
}

export const budgetOf = (call: StepCall): Budget => (call.inputs as { budget?: Budget }).budget ?? {};
/** The key of what a step gave that was cut short when its budget was spent. */
export const cutKey = ({ call, stepKey }: Pick<Resolved, 'call' | 'stepKey'>): string =>
  sha256(canonicalJson({ stepKey, budget: { ...budgetOf(call) } }));

const digested = (value: unknown): unknown =>
  isRef(value)
    ? `${value.kind}:${value.digest}`
    : Array.isArray(value)
      ? value.map(digested)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, digested(inner)]))
        : value;

function drawsOf(call: StepCall, registry: Registry, params: object): boolean {
  if (call.verb === 'train') return false; // its seed is one of its settings
  if (call.verb === 'map')
    return call.operation.split('>').some((id) => (registry.operator(id) as AnyOperator).stochastic(operatorParams(call, id, registry)));
  if (isSource(call) || isImport(call)) return false;
  if (call.verb === 'reduce') return (registry.reducer(call.operation) as AnyReducer).stochastic(params);
  const suite = registry.suite(call.operation);
  return suite.is === 'suite' && (suite.ask as AnyOperator).stochastic(params);
}

async function fileDigests(call: StepCall, registry: Registry, params: object, machine: Machine): Promise<Resolved['files']> {
  if (isSource(call)) return Promise.all(sourceFiles(call, registry, params).map((file) => digestOf(file, machine)));
  if (!isImport(call)) return [];
  const digests = Object.entries(await importedFiles(call)).map(async ([name, file]) => [name, await digestOf(file, machine)] as const);
  return Object.fromEntries(await Promise.all(digests));
}
export function sourceFiles(call: StepCall, registry: Registry, params: object): string[] {
  const { folder } = call.inputs as { folder: string };
  return sourceOf(call, registry)
    .files(params as never)
    .map((file) => resolvePath(folder, file));
}

/** The files that an imported model takes from outside, by their names in it: all of its folder, or the tokenizer of a model that is to be
 *  made. None of an external one. */
export async function importedFiles(call: StepCall): Promise<Readonly<Record<string, string>>> {
  const { path, tokenizer, chatTemplate } = call.inputs as { path?: string; tokenizer?: string; chatTemplate?: string };
  const folder = path ?? tokenizer;
  const files = folder === undefined ? {} : await modelFiles(folder);
  const taken = path === undefined ? Object.entries(files).filter(([name]) => !name.endsWith('.safetensors')) : Object.entries(files);
  return { ...Object.fromEntries(taken), ...(chatTemplate !== undefined && { 'chat_template.jinja': chatTemplate }) };
}

async function digestOf(file: string, machine: Machine): Promise<string> {
  try {
    return await machine.files.of(file);
  } catch (error) {
    if (error instanceof Unread) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new BackspinError('ConfigError', `The file ${file} cannot be read (${code}): check its path in the experiment file.`);
  }
}
