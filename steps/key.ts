/** Computes the key of a step: a digest of everything that its results depend on, and nothing else. Steps with equal keys share one result.
 */
import type { Settings } from '../recipe/api.ts';
import { isRef, type StepCall } from '../schemas/call.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import type { StepContext } from '../schemas/steps.ts';
import { budgetOf, isStochastic, trainingSeed, type OperatorCall } from './call-inputs.ts';
import { definedBy } from './definitions.ts';
import type { Registry } from './registry.ts';
import type { Defined, Resolved } from './resolved.ts';
import { pairLossOf, withTrainingDefaults } from './training-defaults.ts';

export interface KeyInputs extends Pick<Resolved, 'cast' | 'files'> {
  readonly call: StepCall;
  readonly context: StepContext;
  readonly registry: Registry;
  readonly defined: Defined;
  /** Operators of a map, in order. */
  readonly operators: readonly OperatorCall[];
  /** The trainer, device and threads of a subprocess of the training pool; undefined: the step needs none. */
  readonly computing: object | undefined;
  /** Role -> identity of its server. */
  readonly engines: Readonly<Record<string, unknown>>;
}

/** The key of a step, or of the first `length` operators of its chain. Inputs of later operators are not part of it. */
export function keyOf(inputs: KeyInputs, length?: number): string {
  const { call, context, registry, defined, cast, files, computing } = inputs;
  const ids = call.operation.split('>');
  const whole = length === undefined || length === ids.length;
  const operation = ids.slice(0, length);
  const operators = inputs.operators.slice(0, length);
  const { versions, modules, params } = whole ? defined : definedBy({ ...call, operation: operation.join('>') }, registry);
  const roles = whole ? Object.keys(cast) : operators.flatMap(({ operator }) => operator.roles);
  const isMap = call.verb === 'map';
  return sha256(
    canonicalJson({
      verb: call.verb,
      files,
      computing,
      what: operation,
      versions,
      modules,
      params: withDigests(isMap ? operators.map((one) => one.params) : params),
      inputs: withDigests(isMap ? mapInputs(call, pick(cast, roles), whole) : otherInputs(call)),
      ...(call.verb === 'train' ? { seed: trainingSeed(call, context) } : {}),
      ...(isStochastic(call, registry, params, operators)
        ? { seed: context.seed, round: isMap || call.verb === 'reduce' ? call.round : null }
        : {}),
      engines: pick(inputs.engines, roles),
    }),
  );
}

/** The key of a step that stopped when its budget was spent. */
export const cutKey = ({ call, stepKey }: Pick<Resolved, 'call' | 'stepKey'>): string =>
  sha256(canonicalJson({ stepKey, budget: { ...budgetOf(call) } }));

/** Inputs of a map without its parameters, which the key holds separately. Complete results are the same under every budget; a quorum of 1
 *  is the default. */
function mapInputs({ inputs }: StepCall, cast: Resolved['cast'], whole: boolean): object {
  const { with: _, params: __, budget: ___, until, quorum, ...rest } = inputs as { until?: object; quorum?: number } & StepCall['inputs'];
  const limits = { ...(until && { until }), ...(quorum !== undefined && quorum !== 1 && { quorum }) };
  return { ...rest, with: cast, ...(whole && limits) };
}

/** Inputs of any other step without its parameters, paths (the key holds digests of the files), and the seed of a training. Fills in the
 *  defaults of training settings. When held-out rows are measured only matters if that ends the training. */
function otherInputs(call: StepCall): object {
  const { params: _, folder: __, path: ___, tokenizer: ____, chatTemplate: _____, ...rest } = call.inputs;
  if (call.verb !== 'train') return rest;
  const { seed: ______, repeat: _______, evaluate, loss, gamma, sft, ...training } = rest;
  const pair = pairLossOf({ loss, gamma, sft } as Settings<'dpo'>);
  const held = evaluate as Settings['evaluate'];
  return {
    ...training,
    ...withTrainingDefaults(training as unknown as Settings),
    ...(pair.loss !== 'sigmoid' || pair.sft > 0 ? pair : {}),
    ...(held && { evaluate: held.patience === undefined ? { share: held.share } : { every: null, ...held } }),
  };
}

const pick = <T>(entries: Readonly<Record<string, T>>, keys: readonly string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(entries).filter(([key]) => keys.includes(key)));

/** Replaces references by `kind:digest`, at any depth. */
const withDigests = (value: unknown): unknown =>
  isRef(value)
    ? `${value.kind}:${value.digest}`
    : Array.isArray(value)
      ? value.map(withDigests)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withDigests(inner)]))
        : value;
