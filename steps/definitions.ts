/** Looks up the definitions that a call names, with their versions and sources, and checks its parameters. */
import { isRef, type StepCall } from '../schemas/call.ts';
import type { Schema } from '../recipe/define.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import type { AnySource, Defined } from './resolved.ts';

export const isSource = (call: StepCall) => call.operation.startsWith('source:');
export const isImport = (call: StepCall) => call.operation.startsWith('model:');
export const sourceOf = (call: StepCall, registry: Registry) => registry.source(call.operation.slice('source:'.length)) as AnySource;

export function definedBy(call: StepCall, registry: Registry): Defined {
  const params = checkParams(call, registry);
  const named = [...new Set([...definitionIds(call, registry), ...promptIds(params, registry)])].sort();
  const behind = named.map((id) => [id, registry.behind(id)] as const);
  const modules = behind.filter(([id]) => registry.isModule(id.split('.')[0]!)).map(([id, { own }]) => [id, own]);
  return {
    params,
    versions: Object.fromEntries(named.map((id) => [id, registry.version(id)])),
    sources: Object.assign({}, ...behind.map(([, { ours }]) => ours)) as Record<string, string>,
    modules: Object.fromEntries(modules) as Defined['modules'],
  };
}

function definitionIds(call: StepCall, registry: Registry): string[] {
  if (isImport(call)) return [];
  if (isSource(call)) return [call.operation.slice('source:'.length)];
  if (call.verb !== 'train') return call.operation.split('>');
  const { template } = call.inputs as { template?: string };
  if (template !== undefined) registry.template(template);
  return template === undefined ? [] : [template];
}

/** Names of registered prompts in the parameters. By convention `prompt` and the values of `prompts` hold only such names. */
export function promptIds(params: object, registry: Pick<Registry, 'isPrompt'>): string[] {
  const { prompt, prompts } = params as { prompt?: unknown; prompts?: unknown };
  const candidates = [prompt, ...(typeof prompts === 'object' && prompts !== null ? Object.values(prompts) : [])];
  return [...candidates.filter((x) => typeof x === 'string'), ...textsIn(params).filter((text) => registry.isPrompt(text))];
}
const textsIn = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];

/** Checks parameters against the definition's schema; a chain combines those of its operators. Datasets are references here and rows in the
 *  operator. */
export function checkParams(call: StepCall, registry: Registry): object {
  const given = ((call.inputs as { params?: object }).params ?? {}) as Record<string, unknown>;
  if (isImport(call) || call.verb === 'train') return given;
  if (call.verb === 'map') return merged(call.operation.split('>').map((id) => operatorParams(call, id, registry)));
  const schema = isSource(call)
    ? sourceOf(call, registry).params
    : call.verb === 'reduce'
      ? registry.reducer(call.operation).params
      : registry.suite(call.operation).params;
  return checked(call, given, schema);
}

/** The parameters of one operator of a map. An operator that declares none gets all of them if it is alone, and none in a chain. */
export function operatorParams(call: StepCall, id: string, registry: Registry): object {
  const given = ((call.inputs as { params?: object }).params ?? {}) as Record<string, unknown>;
  const schema = registry.operator(id).params;
  return schema === undefined && call.operation.includes('>') ? {} : checked(call, given, schema);
}

function checked(call: StepCall, given: Record<string, unknown>, schema: Schema<unknown> | undefined): object {
  if (schema === undefined) return given;
  const { shape } = schema as { shape?: object };
  const refs = Object.fromEntries(Object.entries(given).filter(([key, value]) => isRef(value) && (shape === undefined || key in shape)));
  const plain = Object.fromEntries(Object.entries(given).filter(([, value]) => !isRef(value)));
  try {
    return { ...(schema.parse(plain) as object), ...refs };
  } catch (error) {
    throw new BackspinError('ConfigError', `The parameters of ${call.operation} (step ${call.path}) do not fit: ${faultOf(error, plain)}.`);
  }
}

/** Merges `prompts`, because each operator of a chain names its own. */
function merged(all: readonly { readonly prompts?: object }[]): object {
  const prompts = Object.assign({}, ...all.map((one) => one.prompts)) as object;
  return { ...(Object.assign({}, ...all) as object), ...(all.some((one) => one.prompts) && { prompts }) };
}
