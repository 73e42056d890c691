/** Types of the activities that workflows call, by kind of worker. */
import type { StepCall } from './call.ts';
import type { ExperimentRecord, LedgerEntry, RecordNews, RecordVersion } from './experiment.ts';
import type { Notification, Notify } from './notify.ts';
import type {
  ImportedStep,
  Lease,
  MapWork,
  StepLookup,
  StepOwner,
  RecordedSteps,
  BatchInput,
  BatchTotals,
  StageEnd,
  StepContext,
  WantedStep,
} from './steps.ts';

/** Activities of a data worker. */
export interface DataActivities {
  /** Also returns the step's pool if no worker polls it. */
  open(call: StepCall, context: StepContext): Promise<StepLookup & { readonly unpolled: string | null }>;
  /** Resolves once the pool has a worker (with null), or once what starts its workers says something else than `known` about it. */
  awaitPoller(pool: string, known: string | null): Promise<string | null>;
  batch(input: BatchInput): Promise<BatchTotals>;
  canary(call: StepCall, context: StepContext): Promise<void>;
  commit(call: StepCall, context: StepContext, work: MapWork, end: StageEnd): Promise<LedgerEntry>;
  compute(call: StepCall, context: StepContext): Promise<LedgerEntry>;
  /** Resolves once the step's owner is another than `known`. Returns the owner, or null if the step has none. */
  awaitOtherOwner(known: StepOwner | null, wanted: WantedStep): Promise<StepOwner | null>;
  /** The imports whose files, or settings in this context, have changed. */
  changedImports(imported: readonly ImportedStep[], context: StepContext): Promise<readonly ImportedStep[]>;
  /** Resolves once the store has room for another step. */
  awaitRoom(): Promise<void>;
  /** Resolves once an experiment has ended. */
  awaitEnd(name: string, workflowId: string): Promise<ExperimentRecord['state']>;
  /** Posts a message, once over all retries. */
  notify(message: Notification, notify: Notify): Promise<void>;
  /** Returns false if the store lacks the version of the record that these news build on. */
  record(news: RecordNews): Promise<boolean>;
  /** Resolves once the record is written. */
  recordUntilWritten(news: RecordNews): Promise<boolean>;
  /** A page of finished steps of a record, from its step number `from` on, and the start of the next page (null: none). Null if the store
   *  has no such record. */
  recorded(name: string, since: RecordVersion, from: number): Promise<RecordedSteps | null>;
}

/** Activities of a gpu worker. */
export interface GpuActivities {
  /** Holds a device group, keeps a server of the step's models running on it, and runs the step's batches until it is cancelled. Returns
   *  true if its time slice ended for another experiment. The server's address and key never leave this process. */
  serve(call: StepCall, context: StepContext, stepKey: string, lease: Lease, replica: number): Promise<boolean>;
  /** Trains in a supervised subprocess; resumes from the newest complete checkpoint. */
  train(call: StepCall, context: StepContext): Promise<LedgerEntry>;
  /** Runs a reducer that embeds. Its subprocess resumes after the newest part of its vectors. */
  embed(call: StepCall, context: StepContext): Promise<LedgerEntry>;
  /** Computes a scorer offline. Its subprocess resumes after the newest part of its answers. */
  score(call: StepCall, context: StepContext, work: MapWork): Promise<LedgerEntry>;
  /** Evaluates a tagger. Its subprocess resumes after the newest part of its answers. */
  tag(call: StepCall, context: StepContext, work: MapWork): Promise<LedgerEntry>;
}
