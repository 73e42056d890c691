/** The state of an experiment as people see it: in its record, and in the Temporal UI. */
import { defineSearchAttributeKey } from '@temporalio/common';
import {
  CancellationScope,
  condition,
  log,
  setCurrentDetails,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { canonical } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Attention, ExperimentRecord, Step } from '../schemas/experiment.ts';
import { CONTROL_MEMO } from '../schemas/messages.ts';
import { precisionText } from '../schemas/precision.ts';
import { details } from './details.ts';
import { weakJudges } from './measured.ts';
import { initialControl, type ExperimentState } from './state.ts';
import type { StepTable } from './step-table.ts';

const stateKey = defineSearchAttributeKey('BackspinState', 'KEYWORD');
const roundKey = defineSearchAttributeKey('BackspinRound', 'INT');

type View = Pick<ExperimentRecord, 'state' | 'round' | 'steps' | 'attention' | 'notices' | 'result' | 'failure'>;

/** With all steps, or with the steps of some paths. */
export function viewOf(state: ExperimentState, table: StepTable, paths?: ReadonlySet<string>): View {
  const steps = paths ? table.all.filter(({ path }) => paths.has(path)) : table.all;
  return {
    state: state.name,
    round: state.round,
    steps: steps.map((step) => {
      const computedBy = state.others.get(step.path);
      return state.attention.has(step.path) ? { ...step, state: 'attention' } : computedBy === undefined ? step : { ...step, computedBy };
    }),
    attention: attentionOf(state),
    notices: noticesOf(state, table.all),
    result: state.end?.result ?? null,
    failure: state.end?.failure ?? null,
  };
}

function attentionOf({ attention, recordFailure }: ExperimentState): Attention[] {
  const waiting = [...attention.values()].map(({ round: _, answer: __, ...shown }) => shown);
  if (!recordFailure) return waiting;
  const reason = `the state of the experiment cannot be written to the store: ${recordFailure.type}: ${recordFailure.message}`;
  const remedy = 'mend the cause; it is written once it can be, and steps go on meanwhile';
  return [...waiting, { path: 'record', kind: 'space', reason, remedy }];
}

function noticesOf({ rejected, reviews, undelivered, upgraded, lost, unpolled }: ExperimentState, steps: readonly Step[]): string[] {
  const byPool = Map.groupBy(unpolled, ([, { pool }]) => pool);
  return [
    ...[...rejected].map((path) => `${path} was rejected, and its round undone.`),
    ...[...reviews].map(([path, { counts }]) => `${path} was reviewed: ${precisionText(counts)}.`),
    ...upgraded,
    ...lost,
    ...undelivered,
    ...weakJudges(steps),
    ...[...byPool].map(([pool, steps]) => {
      const notice = steps.find(([, { notice: found }]) => found !== undefined)?.[1].notice;
      const remedy = `\`backspin up --pool ${pool}=...\` starts one where its devices are.`;
      return `No worker polls the pool ${pool}, which ${steps.map(([path]) => path).join(' and ')} waits for: ${notice ?? remedy}`;
    }),
  ];
}

/** Shows the state in the Temporal UI from now on: a live table, and memo and search attributes when they change. */
export function publishState(config: BoundConfig, state: ExperimentState, table: StepTable): void {
  let memo = canonical(workflowInfo().memo?.[CONTROL_MEMO] ?? initialControl);
  let attributes = '';
  const publish = async (): Promise<never> => {
    for (;;) {
      // Once for all changes of a moment: a run from the top passes every step.
      await condition(() => state.changed);
      state.changed = false;
      setCurrentDetails(details(config, viewOf(state, table)));
      const newMemo = canonical(state.memo);
      if (newMemo !== memo) upsertMemo({ [CONTROL_MEMO]: state.memo });
      memo = newMemo;
      const { name, round } = state;
      if (`${name}/${round}` === attributes) continue;
      attributes = `${name}/${round}`;
      upsertSearchAttributes([{ key: stateKey, value: name }, ...(round === null ? [] : [{ key: roundKey, value: round }])]);
    }
  };
  CancellationScope.nonCancellable(publish).catch((error: unknown) => log.error('the state is shown no more', { error }));
}
