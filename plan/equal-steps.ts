/** Finds which steps of several plans are one step. A key may depend on results that do not exist yet; then the keys of the steps that will
 *  give them stand for these results. */
import { canonical, isRef, refsIn, type StepCall } from '../schemas/call.ts';
import { sha256 } from '../schemas/canonical.ts';
import type { Plan } from '../schemas/plan.ts';
import type { Machine } from '../steps/machine.ts';
import { resolve } from '../steps/resolve.ts';
import type { PlannedCalls } from './planner.ts';
import { isReal } from './symbols.ts';

/** By path: equal for steps that share one result, in all plans of one machine. */
export async function identitiesOf(
  { steps }: Plan,
  { calls, registry, context }: PlannedCalls,
  machine: Machine,
): Promise<ReadonlyMap<string, string>> {
  const keys = new Map(steps.map(({ path, stepKey }) => [path, stepKey]));
  const identities = new Map<string, string>();
  /** Digest of a result that does not exist yet -> what stands for it. */
  const symbols = new Map<string, string>();
  for (const [path, { call, result }] of calls) {
    const known = { ...call, inputs: renamed(call.inputs, symbols) as StepCall['inputs'] };
    const resolved = keys.get(path) === null ? await resolve(known, context, registry, machine).catch(() => undefined) : undefined;
    const identity = keys.get(path) ?? resolved?.stepKey ?? sha256(canonical([known.verb, known.operation, known.inputs, context.seed]));
    identities.set(path, identity);
    const named = isRef(result) ? [['', result] as const] : Object.entries(result);
    for (const [name, ref] of named) if (!isReal(ref)) symbols.set(ref.digest, `planned:${identity}.${name}`);
  }
  return identities;
}

function renamed(value: unknown, symbols: ReadonlyMap<string, string>): unknown {
  if (refsIn(value).length === 0) return value;
  if (isRef(value)) return { ...value, digest: symbols.get(value.digest) ?? value.digest };
  if (Array.isArray(value)) return value.map((inner) => renamed(inner, symbols));
  return Object.fromEntries(Object.entries(value as object).map(([key, inner]) => [key, renamed(inner, symbols)]));
}

export interface SharedPlan {
  readonly experiments: number;
  /** Of all experiments, and how many different ones these are. */
  readonly steps: number;
  readonly different: number;
  /** Of the different ones, those whose result is in the store. */
  readonly cached: number;
  /** Of the different ones; in brackets of the name, what the experiments would cost one by one. */
  readonly requests: number;
  readonly requestsAlone: number;
  readonly trainingSteps: number;
  readonly trainingStepsAlone: number;
  readonly bytes: number;
}

export function sharedPlan(plans: readonly { readonly plan: Plan; readonly identities: ReadonlyMap<string, string> }[]): SharedPlan {
  const all = plans.flatMap(({ plan, identities }) => plan.steps.map((step) => ({ step, identity: identities.get(step.path)! })));
  const different = [...new Map(all.map(({ step, identity }) => [identity, step])).values()];
  const sum = (steps: typeof different, of: 'requests' | 'trainingSteps' | 'bytes') =>
    steps.reduce((total, step) => total + (step[of] ?? 0), 0);
  const total = (of: 'requests' | 'trainingSteps') => plans.reduce((all, { plan }) => all + plan.totals[of], 0);
  return {
    experiments: plans.length,
    steps: all.length,
    different: different.length,
    cached: different.filter(({ cached }) => cached).length,
    requests: sum(different, 'requests'),
    requestsAlone: total('requests'),
    trainingSteps: sum(different, 'trainingSteps'),
    trainingStepsAlone: total('trainingSteps'),
    bytes: sum(different, 'bytes'),
  };
}
