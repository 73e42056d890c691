/** The activities that workflows call, and of which kind of worker. Types only. */
import type { StepCall } from './call.ts';
import type { LedgerEntry, RecordNews, RecordVersion } from './experiment.ts';
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

/** Of a data worker. */
export interface DataActivities {
  /** Tells also of a pool that the step will wait for in vain. */
  open(call: StepCall, context: StepContext): Promise<StepLookup & { readonly unpolled: string | null }>;
  /** Resolves once the pool has a worker. */
  awaitPoller(pool: string): Promise<void>;
  batch(input: BatchInput): Promise<BatchTotals>;
  canary(call: StepCall, context: StepContext): Promise<void>;
  commit(call: StepCall, context: StepContext, work: MapWork, end: StageEnd): Promise<LedgerEntry>;
  compute(call: StepCall, context: StepContext): Promise<LedgerEntry>;
  /** Resolves once somebody else than `known` computes the step: who, or null where nobody does. */
  awaitOtherOwner(known: StepOwner | null, wanted: WantedStep): Promise<StepOwner | null>;
  /** Those whose files, or settings in this context, are others by now. */
  changedImports(imported: readonly ImportedStep[], context: StepContext): Promise<readonly ImportedStep[]>;
  /** Resolves once the store has room for one step more. */
  awaitRoom(): Promise<void>;
  /** False: the store lacks what these news build on. */
  record(news: RecordNews): Promise<boolean>;
  /** Resolves once the record could be written. */
  recordUntilWritten(news: RecordNews): Promise<boolean>;
  /** Finished steps of a record, from the `from`th of its steps on, and where the next begin (null: there are none). Null: the store has
   *  no such record. */
  recorded(name: string, since: RecordVersion, from: number): Promise<RecordedSteps | null>;
}

/** Of a gpu worker. */
export interface GpuActivities {
  /** Holds a device group, keeps a server of the step's models alive on it, and runs the step's batches beside it until it is
   *  cancelled; gives true when it gave way to another experiment before. No address and no key ever leaves this process. */
  serve(call: StepCall, context: StepContext, stepKey: string, lease: Lease, replica: number): Promise<boolean>;
  /** Trains in a supervised child, going on from the newest complete checkpoint. */
  train(call: StepCall, context: StepContext): Promise<LedgerEntry>;
  /** Runs a reducer that embeds: first the child, from the newest part of its vectors on. */
  embed(call: StepCall, context: StepContext): Promise<LedgerEntry>;
  /** Computes a scorer as one batch: first the child, from the newest part of its answers on. */
  score(call: StepCall, context: StepContext, work: MapWork): Promise<LedgerEntry>;
}
