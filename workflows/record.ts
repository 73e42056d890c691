/** The record of an experiment: in the store, and as the answer to the query `progress`. */
import { setHandler, workflowInfo } from '@temporalio/workflow';
import type { ExperimentRecord, RecordVersion } from '../schemas/experiment.ts';
import { progress, type ExperimentInput } from '../schemas/messages.ts';
import { queues } from '../schemas/names.ts';
import type { ConfigEdits } from './config-edits.ts';
import type { Ledger } from './ledger.ts';
import { data, type Named } from './options.ts';
import { Recorder } from './recorder.ts';
import type { ExperimentState } from './state.ts';
import type { StepTable } from './step-table.ts';
import { viewOf } from './view.ts';

/** Failed attempts to write the record before people see that it cannot be written. */
const ATTEMPTS = 5;

interface RecordParts {
  readonly state: ExperimentState;
  readonly table: StepTable;
  readonly ledger: Ledger;
  readonly edits: ConfigEdits;
}

/** Returns what writes the record, and answers `progress` from now on. */
export function keepRecord(input: ExperimentInput, { state, table, ledger, edits }: RecordParts): Recorder {
  const { workflowId, runId } = workflowInfo();
  const snapshot = (paths?: ReadonlySet<string>): ExperimentRecord => ({
    name: input.config.name,
    recipe: input.config.recipe,
    workflowId,
    runId,
    config: edits.next.config,
    configDigest: edits.next.configDigest,
    parent: input.parent,
    ...viewOf(state, table, paths),
    decisions: ledger.decisions,
    updated: new Date().toISOString(),
  });
  const recorder = new Recorder(
    runId,
    table,
    input.carried?.recorded ?? null,
    (version, paths, patiently) => {
      const news = { ...snapshot(paths), ...version };
      const name = recordActivity(input, 'record');
      return patiently ? data(name).recordUntilWritten(news) : data(name, ATTEMPTS).record(news);
    },
    (why) => {
      state.recordFailure = why;
      state.publish();
    },
  );
  setHandler(progress, (since) => {
    const count = since && recorder.after(since);
    return count === undefined ? snapshot() : { ...snapshot(table.since(count)), since: since! };
  });
  return recorder;
}

/** Reads the ledger from the record, where the last run left it there because it was too large to carry. */
export function loadLedger(input: ExperimentInput, version: RecordVersion, ledger: Ledger): Promise<void> {
  return ledger.load((from) => data(recordActivity(input, 'recorded')).recorded(input.config.name, version, from));
}

const recordActivity = ({ config, store }: ExperimentInput, id: string): Named => ({
  id,
  summary: 'the state of the experiment',
  queue: queues.data(store),
  experiment: config.name,
});
