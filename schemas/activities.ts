/** The activities that workflows call, and of which kind of worker. Types only. */
import type { Call } from './call.ts';
import type { LedgerEntry, RecordNews, Written } from './experiment.ts';
import type { Imported, Lease, MapWork, Opened, Owner, Recorded, ShardInput, SliceTotals, StageEnd, StepContext, Wanted } from './steps.ts';

/** Of a data worker. */
export interface DataActivities {
  /** Tells also of a pool that the step will wait for in vain. */
  open(call: Call, context: StepContext): Promise<Opened & { readonly unpolled: string | null }>;
  /** Resolves once the pool has a worker. */
  polled(pool: string): Promise<void>;
  shard(input: ShardInput): Promise<SliceTotals>;
  canary(call: Call, context: StepContext): Promise<void>;
  commit(call: Call, context: StepContext, work: MapWork, end: StageEnd): Promise<LedgerEntry>;
  compute(call: Call, context: StepContext): Promise<LedgerEntry>;
  /** Resolves once somebody else than `known` computes the step: who, or null where nobody does. */
  otherThan(known: Owner | null, wanted: Wanted): Promise<Owner | null>;
  /** Those whose files, or settings in this context, are others by now. */
  reread(imported: readonly Imported[], context: StepContext): Promise<readonly Imported[]>;
  /** Resolves once the store has room for one step more. */
  room(): Promise<void>;
  /** False: the store lacks what these news build on. */
  record(news: RecordNews): Promise<boolean>;
  /** Resolves once the record could be written. */
  recordPatiently(news: RecordNews): Promise<boolean>;
  /** Finished steps of a record, from the `from`th of its steps on, and where the next begin (null: there are none). Null: the store has
   *  no such record. */
  recorded(name: string, since: Written, from: number): Promise<Recorded | null>;
}

/** Of a gpu worker. */
export interface GpuActivities {
  /** Holds a device group, keeps a server of the step's models alive on it, and runs the step's shards beside it until it is
   *  cancelled; gives true when it gave way to another experiment before. No address and no key ever leaves this process. */
  serve(call: Call, context: StepContext, stepKey: string, lease: Lease, replica: number): Promise<boolean>;
  /** Trains in a supervised child, going on from the newest complete checkpoint. */
  train(call: Call, context: StepContext): Promise<LedgerEntry>;
  /** Runs a reducer that embeds: first the child, from the newest part of its vectors on. */
  embed(call: Call, context: StepContext): Promise<LedgerEntry>;
  /** Computes a probe as one batch: first the child, from the newest part of its answers on. */
  score(call: Call, context: StepContext, work: MapWork): Promise<LedgerEntry>;
}
