/** Reads a call: its operators, models, seed, and whether it is stochastic or runs offline. */
import { isRef, refsIn, type DatasetRef, type ModelRef, type StepCall } from '../schemas/call.ts';
import type { ModelKind } from '../recipe/types.ts';
import type { Serving } from '../schemas/serving.ts';
import type { Budget, StepContext } from '../schemas/steps.ts';
import { isImport, isSource, operatorParams } from './definitions.ts';
import { externalOf } from './external.ts';
import type { Registry } from './registry.ts';
import type { AnyOperator, AnyReducer } from './resolved.ts';

/** An operator of a map with its own checked parameters. Datasets among them are references. */
export interface OperatorCall {
  readonly id: string;
  readonly operator: AnyOperator;
  readonly params: object;
}

/** The operators of a map in order; none for other verbs. */
export function operatorCalls(call: StepCall, registry: Registry): OperatorCall[] {
  if (call.verb !== 'map') return [];
  return call.operation
    .split('>')
    .map((id) => ({ id, operator: registry.operator(id) as AnyOperator, params: operatorParams(call, id, registry) }));
}

/** Role -> model. A suite measures the model in the role `model`. */
export function castOf(call: StepCall): Record<string, ModelRef> {
  const { with: cast = {}, of } = call.inputs as { with?: Record<string, ModelRef>; of?: unknown };
  if (call.verb !== 'map' && call.verb !== 'evaluate') return {};
  return call.verb === 'evaluate' && isRef(of) && of.kind === 'model' ? { ...cast, model: of } : { ...cast };
}

export const servingOf = (context: StepContext, role: string): Serving => context.roles[role] ?? context.serving;

export const budgetOf = (call: StepCall): Budget => (call.inputs as { budget?: Budget }).budget ?? {};

/** Rows of all datasets inside a value. */
export const rowsIn = (value: unknown): number => refsIn(value).reduce((sum, ref) => sum + (ref.kind === 'dataset' ? ref.rows : 0), 0);

/** Seed of a training: its own or the experiment's, and another one for each `repeat`. */
export function trainingSeed(call: StepCall, context: StepContext): number {
  const { seed = context.seed, repeat = 0 } = call.inputs as { seed?: number; repeat?: number };
  return seed + 1_000_003 * repeat;
}

/** The records that a suite without items asks: those that the experiment file names, or those in its parameter `test`. */
export function itemsIn({ inputs }: StepCall): DatasetRef | undefined {
  const { items, params } = inputs as { items?: DatasetRef; params?: { test?: unknown } };
  return items ?? (isRef(params?.test) && params.test.kind === 'dataset' ? params.test : undefined);
}

/** Whether a tagger answers a step, in a subprocess on the training pool: its evaluation, or a map by a labeler. */
export function tags(call: StepCall, registry: Registry): boolean {
  if (call.verb === 'map') return !call.operation.includes('>') && registry.operator(call.operation).labeler !== undefined;
  if (call.verb !== 'evaluate') return false;
  const suite = registry.suite(call.operation);
  return suite.is === 'suite' && (suite.kind as ModelKind) === 'tagger';
}

/** From this many records on, loading the model costs less than asking a server for each of them. */
const OFFLINE_FROM = 1000;

/** Whether a subprocess on the training pool computes a step: the evaluation of a tagger, or a map by a single labeler, or by a single scorer
 *  with many records or `batch: true`; the model of a map must be in the store. */
export function isOffline(call: StepCall, context: StepContext, registry: Registry): boolean {
  if (call.verb === 'evaluate') return tags(call, registry);
  if (call.verb !== 'map' || call.operation.includes('>')) return false;
  const { scorer, labeler } = registry.operator(call.operation);
  const { over, until, quorum } = call.inputs as { over: DatasetRef; until?: object; quorum?: number };
  const limited = until !== undefined || quorum !== undefined || Object.keys(budgetOf(call)).length > 0;
  const own = Object.values(castOf(call)).every((model) => !externalOf(context, model));
  const offline = scorer ? scorer.batch || over.rows >= OFFLINE_FROM : labeler !== undefined;
  return offline && own && !limited;
}

/** Whether the results depend on the experiment's seed and the round. `operators`: the operators to consider. */
export function isStochastic(call: StepCall, registry: Registry, params: object, operators: readonly OperatorCall[]): boolean {
  if (call.verb === 'train') return false; // its seed is one of its settings
  if (call.verb === 'map') return operators.some((one) => one.operator.stochastic(one.params));
  if (isSource(call) || isImport(call)) return false;
  if (call.verb === 'reduce') return (registry.reducer(call.operation) as AnyReducer).stochastic(params);
  const suite = registry.suite(call.operation);
  return suite.is === 'suite' && (suite.ask as AnyOperator).stochastic(params);
}
