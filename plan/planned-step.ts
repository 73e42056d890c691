/** Describes one step of a plan. */
import { embeds, isRef, type Result, type StepCall } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import type { PlannedStep } from '../schemas/plan.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import { castOf, isOffline, servingOf } from '../steps/call-inputs.ts';
import { ownOf } from '../steps/external.ts';
import type { Registry } from '../steps/registry.ts';
import { finite, type Estimate } from './estimate.ts';
import { bytesOfModel, type Sizes } from './sizes.ts';

/** The stored state of a step. */
export interface StoredStep {
  /** Null while an input does not exist yet, or is a large file without a digest. */
  readonly stepKey: string | null;
  /** Undefined if the step has to run. */
  readonly known: LedgerEntry | undefined;
  readonly output: Output | undefined;
}

export function plannedStep(
  call: StepCall,
  { stepKey, known, output }: StoredStep,
  estimate: Estimate,
  result: Result,
  facts: { readonly needs: readonly string[]; readonly pool: string | null; readonly sizes: Sizes },
): PlannedStep {
  const cached = known !== undefined;
  return {
    path: call.path,
    arm: call.arm,
    round: call.round,
    name: call.label,
    kind: call.verb,
    operation: call.operation,
    stepKey,
    state: cached ? 'completed' : 'planned',
    cached,
    in: output?.in ?? finite(estimate.in),
    kept: output?.kept ?? estimate.kept ?? null,
    dropped: output?.dropped ?? estimate.dropped ?? {},
    requests: cached ? 0 : finite(estimate.requests),
    trainingSteps: cached ? 0 : finite(estimate.trainingSteps),
    seconds: output?.seconds ?? null,
    output: cached && isRef(result) ? { digest: result.digest, rows: result.kind === 'dataset' ? result.rows : null } : null,
    needs: facts.needs,
    pool: facts.pool,
    bytes: cached ? 0 : bytesOf(call, estimate, result, facts.sizes),
  };
}

/** The pool whose gpu worker the step needs; null if it needs none. */
export function poolOf(call: StepCall, context: StepContext, registry: Registry): string | null {
  if (call.verb === 'train' || embeds(call) || isOffline(call, context, registry)) return context.training.pool;
  const [role] = Object.keys(ownOf(context, castOf(call)));
  return role === undefined ? null : servingOf(context, role).pool;
}

/** An estimate of the compressed bytes of a record in the store. */
const RECORD_BYTES = 300;

function bytesOf(call: StepCall, { rows }: Estimate, result: Result, sizes: Sizes): number {
  if (isRef(result) && result.kind === 'model') return bytesOfModel(call, result, sizes);
  return call.verb === 'evaluate' ? 0 : (finite((rows ?? 0) * RECORD_BYTES) ?? 0);
}
