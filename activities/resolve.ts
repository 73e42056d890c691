/** From a call to a step: definitions, checked parameters, versions, and the key that says what the step is. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import type { Budget } from '../recipe/api.ts';
import { isRef, refsIn, type Call, type DatasetRef, type ModelRef } from '../recipe/call.ts';
import type { Operator, ReducerDef, SourceDef, TemplateDef } from '../recipe/define.ts';
import { engineIdentity, repeats } from '../devices/engines/index.ts';
import type { Registry } from '../operators/registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import type { Serving } from '../schemas/serving.ts';
import type { Determinism } from '../schemas/store.ts';
import { canonicalJson } from '../store/canonical.ts';
import { externalOf } from './external.ts';
import type { StepContext } from './services.ts';

export type AnyOperator = Operator<unknown, unknown, string, object>;
export type AnyReducer = ReducerDef<unknown, never, object>;
export type AnySource = SourceDef<unknown, object>;
export type AnyTemplate = TemplateDef<unknown, unknown>;

export interface Link {
  readonly operator: AnyOperator;
  /** The chain so far, and its key. */
  readonly what: string;
  readonly stepKey: string;
}
export interface Resolved {
  readonly call: Call;
  readonly stepKey: string;
  readonly params: object;
  readonly versions: Readonly<Record<string, number>>;
  readonly sources: Readonly<Record<string, string>>;
  readonly inputs: readonly string[];
  readonly determinism: Determinism;
  /** Operators of a map in order, each with the key of the chain that ends with it. */
  readonly chain: readonly Link[];
  /** Role -> model, for maps and evaluations of models. */
  readonly cast: Readonly<Record<string, ModelRef>>;
  /** It is computed by a child on the training's pool, not asked of a server. */
  readonly batch: boolean;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

export async function resolve(call: Call, context: StepContext, registry: Registry): Promise<Resolved> {
  const ids = call.what.split('>');
  const cast = castOf(call);
  const { params, versions, sources } = definedBy(call, registry);
  const batch = isBatch(call, context, registry);
  const files = await fileDigests(call, registry, params);
  /** The key of the chain's first operators: a change of a later one is no part of it. */
  const keyOf = (length: number) => {
    const head: Call = length === ids.length ? call : { ...call, what: ids.slice(0, length).join('>') };
    const { params, versions, sources } = definedBy(head, registry);
    const draws = drawsOf(head, registry, params);
    const asks = Object.keys(cast).length > 0;
    return sha256(
      canonicalJson({
        verb: call.verb,
        what: ids.slice(0, length),
        versions,
        modules: Object.fromEntries(Object.entries(sources).filter(([space]) => registry.isModule(space))),
        params: digested(params),
        inputs: digested(identity(call)),
        ...(files.length > 0 ? { files } : {}),
        ...(call.verb === 'train' ? { seed: trainingSeed(call, context) } : {}),
        ...(draws ? { seed: context.seed, round: call.verb === 'map' || call.verb === 'reduce' ? call.round : null } : {}),
        ...(asks
          ? {
              engines: Object.fromEntries(
                Object.entries(cast).map(([role, model]) => [role, batch ? BATCH : identityOf(context, role, model)]),
              ),
            }
          : {}),
      }),
    );
  };
  const operators = call.verb === 'map' ? ids.map((id) => registry.operator(id) as AnyOperator) : [];
  const chain = operators.map((operator, i) => ({ operator, what: ids.slice(0, i + 1).join('>'), stepKey: keyOf(i + 1) }));
  const determinism =
    !batch && !Object.entries(cast).every(([role, model]) => !externalOf(context, model) && repeats(servingOf(context, role)))
      ? 'sampled'
      : drawsOf(call, registry, params)
        ? 'seeded'
        : 'exact';
  const inputs = [...new Set(refsIn(call.inputs).map((ref) => ref.digest))].sort();
  return { call, stepKey: keyOf(ids.length), params, versions, sources, inputs, determinism, chain, cast, batch };
}

/** What computes a batch, as part of the key of its step. */
const BATCH = 'batch 1';
/** Records from which on a probe is a batch: to load the model costs more than to ask a server so many times. */
const MANY = 1000;

/** Whether a map is one batch: a probe by itself of many records, or of what no server gives, whose model is an own one. */
export function isBatch(call: Call, context: StepContext, registry: Registry): boolean {
  if (call.verb !== 'map' || call.what.includes('>')) return false;
  const { probe } = registry.operator(call.what);
  const { over, until, quorum } = call.inputs as { over: DatasetRef; until?: object; quorum?: number };
  const limited = until !== undefined || quorum !== undefined || Object.keys(budgetOf(call)).length > 0;
  const own = Object.values(castOf(call)).every((model) => !externalOf(context, model));
  return probe !== undefined && own && !limited && (probe.batch || over.rows >= MANY);
}

/** Why a step cannot have what it asks for; undefined: it can. */
export function unbatched(call: Call, context: StepContext, registry: Registry): string | undefined {
  if (call.verb !== 'map' || isBatch(call, context, registry)) return undefined;
  const what = call.what.split('>').find((id) => registry.operator(id).probe?.batch);
  return (
    what &&
    `Step ${call.path} asks by ${what} for what no server gives, so it is computed as one batch: of a model of one's own, and without other operators in its chain, until, quorum and budget.`
  );
}

/** A training's own seed, or the experiment's. */
export const trainingSeed = (call: Call, context: StepContext): number => (call.inputs as { seed?: number }).seed ?? context.seed;

/** Parameters, checked; and the versions and sources of every definition that the call names. */
function definedBy(call: Call, registry: Registry): Pick<Resolved, 'params' | 'versions' | 'sources'> {
  const params = checkParams(call, registry);
  const named = [...new Set([...definitionIds(call, registry), ...promptIds(params)])].sort();
  const spaces = [...new Set(named.map((id) => id.split('.')[0]!))].sort();
  return {
    params,
    versions: Object.fromEntries(named.map((id) => [id, registry.version(id)])),
    sources: Object.fromEntries(spaces.map((space) => [space, registry.sourceDigest(space)])),
  };
}

const identityOf = (context: StepContext, role: string, model: ModelRef): string =>
  externalOf(context, model) ? 'external' : engineIdentity(servingOf(context, role));

export const servingOf = (context: StepContext, role: string): Serving => context.roles[role] ?? context.serving;

/** Role -> model. The model that a suite measures is in the role `model`. */
export function castOf(call: Call): Record<string, ModelRef> {
  const { with: cast = {}, of } = call.inputs as { with?: Record<string, ModelRef>; of?: unknown };
  if (call.verb !== 'map' && call.verb !== 'evaluate') return {};
  return call.verb === 'evaluate' && isRef(of) && of.kind === 'model' ? { ...cast, model: of } : { ...cast };
}

/** What of a call is its identity: everything but its parameters, which go apart, paths, whose content goes in their place, and a
 *  budget, which changes no result that is whole. */
function identity(call: Call): object {
  const {
    params: _,
    folder: __,
    path: ___,
    tokenizer: ____,
    chatTemplate: _____,
    budget: ______,
    ...rest
  } = call.inputs as Record<string, unknown>;
  return rest;
}

export const budgetOf = (call: Call): Budget => (call.inputs as { budget?: Budget }).budget ?? {};
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

const isSource = (call: Call) => call.what.startsWith('source:');
const isImport = (call: Call) => call.what.startsWith('model:');
export const sourceOf = (call: Call, registry: Registry) => registry.source(call.what.slice('source:'.length)) as AnySource;

function definitionIds(call: Call, registry: Registry): string[] {
  if (isImport(call)) return [];
  if (isSource(call)) return [call.what.slice('source:'.length)];
  if (call.verb !== 'train') return call.what.split('>');
  const { template } = call.inputs as { template?: string };
  if (template !== undefined) registry.template(template);
  return template === undefined ? [] : [template];
}

/** By convention `prompt` and the values of `prompts` are names of registered prompts. */
export function promptIds(params: object): string[] {
  const { prompt, prompts } = params as { prompt?: unknown; prompts?: unknown };
  return [prompt, ...(typeof prompts === 'object' && prompts !== null ? Object.values(prompts) : [])].filter((x) => typeof x === 'string');
}

/** Checks parameters by the definition's schema. Datasets among them are references here and rows in the operator. */
export function checkParams(call: Call, registry: Registry): object {
  const given = ((call.inputs as { params?: object }).params ?? {}) as Record<string, unknown>;
  if (isImport(call) || call.verb === 'train') return given;
  const schemas = isSource(call)
    ? [sourceOf(call, registry).params]
    : call.verb === 'reduce'
      ? [registry.reducer(call.what).params]
      : call.verb === 'evaluate'
        ? [registry.suite(call.what).params]
        : call.what.split('>').map((id) => registry.operator(id).params);
  const refs = Object.fromEntries(Object.entries(given).filter(([, value]) => isRef(value)));
  const plain = Object.fromEntries(Object.entries(given).filter(([, value]) => !isRef(value)));
  let checked: object = schemas.some((schema) => schema !== undefined) ? {} : plain;
  for (const schema of schemas) {
    if (!schema) continue;
    try {
      const own = schema.parse(plain) as { prompts?: object };
      const prompts = { ...(checked as { prompts?: object }).prompts, ...own.prompts }; // each operator of a chain names its own
      checked = { ...checked, ...own, ...(own.prompts && { prompts }) };
    } catch (error) {
      throw new BackspinError('ConfigError', `The parameters of ${call.what} (step ${call.path}) do not fit: ${faultOf(error, plain)}.`);
    }
  }
  return { ...checked, ...refs };
}

function drawsOf(call: Call, registry: Registry, params: object): boolean {
  if (call.verb === 'train') return false; // its seed is one of its settings
  if (call.verb === 'map') return call.what.split('>').some((id) => (registry.operator(id) as AnyOperator).draws(params));
  if (isSource(call) || isImport(call)) return false;
  if (call.verb === 'reduce') return (registry.reducer(call.what) as AnyReducer).draws(params);
  const suite = registry.suite(call.what);
  return suite.is === 'suite' && (suite.ask as AnyOperator).draws(params);
}

async function fileDigests(call: Call, registry: Registry, params: object): Promise<string[]> {
  const folder = isImport(call) ? importedFolder(call) : undefined;
  const { chatTemplate } = call.inputs as { chatTemplate?: string };
  const own = folder === undefined ? [] : await filesUnder(folder);
  const files = isSource(call) ? sourceFiles(call, registry, params) : chatTemplate === undefined ? own : [...own, chatTemplate];
  const digests = [];
  for (const file of files) digests.push(await fileDigest(file));
  return digests;
}
export function sourceFiles(call: Call, registry: Registry, params: object): string[] {
  const { folder } = call.inputs as { folder: string };
  return sourceOf(call, registry)
    .files(params as never)
    .map((file) => resolvePath(folder, file));
}
/** A model's folder, or the folder of the tokenizer of a model that is to be made; undefined for an external one. */
export function importedFolder(call: Call): string | undefined {
  const { path, tokenizer } = call.inputs as { path?: string; tokenizer?: string };
  return path ?? tokenizer;
}
async function filesUnder(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(folder, entry.name))
      .sort();
  } catch {
    throw new BackspinError('ConfigError', `The model folder ${folder} cannot be read: check its path in the experiment file.`);
  }
}
async function fileDigest(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new BackspinError('ConfigError', `The file ${file} cannot be read (${code}): check its path in the experiment file.`);
  }
  return hash.digest('hex');
}
