/** Builds the view that `status`, `list` and `watch` show: the workflow's record, outputs in the store, and live counts. */
import { isRef, type AnyRef, type Result } from '../schemas/call.ts';
import type { Attention, ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { measured, type Measured } from '../workflows/measured.ts';
import { addMoney, costOf, pricesOf, type Money, type Prices } from './cost.ts';
import type { TokenUses } from '../schemas/steps.ts';
import type { Live, LiveCounts } from './live.ts';
import type { Waits } from './waits.ts';

export interface StepView {
  readonly path: string;
  readonly arm: string | null;
  readonly stepKey: string | null;
  readonly name: string;
  readonly kind: Step['kind'];
  readonly round: number | null;
  readonly state: Step['state'];
  readonly cached: boolean;
  readonly in: number | null;
  readonly kept: number | null;
  readonly dropped: Readonly<Record<string, number>>;
  /** Endings of unparsed replies with their counts, the most frequent first. */
  readonly unread?: NonNullable<Output['unread']>;
  readonly requests: number | null;
  /** Samples that operators took until one could be parsed, the first included; absent if no operator resamples. */
  readonly attempts?: number;
  readonly seconds: number | null;
  /** Tokens that models read and wrote; absent for a step without requests. */
  readonly tokens?: { readonly read: number; readonly written: number };
  /** Of external models with a price; of a cached step what it had cost. */
  readonly cost?: Money;
  readonly output: OutputView | null;
  /** Names of what an evaluation measured. */
  readonly numbers?: readonly string[];
  /** For a reducer with several results; then `output` is null. */
  readonly outputs?: Readonly<Record<string, OutputView>>;
  /** For a training: the loss of its last step, and the lowest loss of its held-out rows with the step at which it was measured. */
  readonly loss?: number;
  readonly validation?: { readonly loss: number; readonly step: number };
  /** For a training: the steps whose loss jumped. */
  readonly spikes?: readonly number[];
  /** Progress of a running step. */
  readonly live?: Live;
  /** Why a running step waits. */
  readonly waits?: Waits;
}
interface OutputView {
  readonly digest: string;
  readonly rows: number | null;
}
export type { Measured };
export interface View {
  readonly experiment: string;
  readonly workflowId: string;
  readonly runId: string | null;
  readonly recipe: string;
  readonly state: ExperimentRecord['state'];
  readonly round: number | null;
  readonly metrics: readonly Measured[];
  readonly result: Result | null;
  readonly failure: string | null;
  readonly parent: ExperimentRecord['parent'];
  readonly attention: readonly Attention[];
  readonly notices: readonly string[];
  readonly steps: readonly StepView[];
  /** Of all steps that this experiment has computed itself. Empty without prices. */
  readonly cost: Money;
}

export async function viewOf(
  store: Store,
  record: ExperimentRecord,
  live?: LiveCounts,
  waits: ReadonlyMap<string, Waits> = new Map(),
): Promise<View> {
  const { name, workflowId, runId, recipe, state, round, result, failure, parent, attention, notices } = record;
  const prices = pricesOf(record);
  const steps = await Promise.all(
    record.steps.map(async (step) => ({ ...(await stepView(store, step, prices, live)), ...waitsOf(waits.get(step.path)) })),
  );
  return {
    experiment: name,
    workflowId,
    runId,
    recipe,
    state,
    round,
    metrics: measured(record.steps),
    result,
    failure,
    parent,
    attention,
    notices,
    steps,
    cost: addMoney(steps.map(({ cached, cost }) => (cached ? undefined : cost))),
  };
}

async function stepView(store: Store, step: Step, prices: Prices, live?: LiveCounts): Promise<StepView> {
  const { path, arm, stepKey, name, kind, round, state, cached, result } = step;
  const output = stepKey === null ? undefined : await (live ? live.output(store, stepKey) : store.output(stepKey));
  const running = state === 'running' && !output && stepKey !== null ? await live?.of(store, kind, stepKey) : undefined;
  return {
    path,
    arm,
    stepKey,
    name,
    kind,
    round,
    state,
    cached,
    in: output?.in ?? null,
    kept: output?.kept ?? null,
    dropped: output?.dropped ?? {},
    ...(output?.unread ? { unread: output.unread } : {}),
    requests: output?.requests ?? null,
    ...(output?.attempts ? { attempts: output.attempts } : {}),
    seconds: output?.seconds ?? null,
    ...usesOf(output?.uses ?? running?.uses, prices),
    ...lossesOf(output?.curve),
    output: result !== null && isRef(result) ? outputView(result) : null,
    ...(result !== null && isRef(result) && result.kind === 'report' ? { numbers: Object.keys(result.metrics) } : {}),
    ...(result !== null && !isRef(result)
      ? { outputs: Object.fromEntries(Object.entries(result).map(([key, ref]) => [key, outputView(ref)])) }
      : {}),
    ...(running ? { live: running } : {}),
  };
}
function usesOf(uses: TokenUses | undefined, prices: Prices): Pick<StepView, 'tokens' | 'cost'> {
  if (!uses) return {};
  const cost = costOf(uses, prices);
  const sum = (of: 'read' | 'written') => Object.values(uses).reduce((total, use) => total + use[of], 0);
  return { tokens: { read: sum('read'), written: sum('written') }, ...(cost && { cost }) };
}
function lossesOf(curve: Output['curve']): Pick<StepView, 'loss' | 'validation' | 'spikes'> {
  if (!curve) return {};
  const { last, best, spikes } = curve;
  return { loss: last.loss, ...(best && { validation: { loss: best.validationLoss!, step: best.step } }), ...(spikes && { spikes }) };
}
const waitsOf = (waits: Waits | undefined) => (waits ? { waits } : {});
const outputView = (ref: AnyRef): OutputView => ({ digest: ref.digest, rows: ref.kind === 'dataset' ? ref.rows : null });
