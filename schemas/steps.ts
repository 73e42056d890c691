/** What workflows and activities say to each other about a step: what there is to do, and what came of it. Types only. */
import type { StepCall, DatasetRef, ModelRef } from './call.ts';
import type { BoundConfig } from './config.ts';
import type { LedgerEntry } from './experiment.ts';
import type { External } from './external.ts';
import type { Serving } from './serving.ts';

/** What a step needs to know of its experiment, sent with every call. */
export interface StepContext {
  readonly experiment: string;
  /** Under which its steps are noted in the store; without one they are not. */
  readonly configDigest?: string;
  readonly seed: number;
  readonly modules: BoundConfig['modules'];
  readonly serving: BoundConfig['serving'];
  readonly roles: BoundConfig['roles'];
  readonly training: BoundConfig['training'];
  /** The external models of its file. */
  readonly external: readonly External[];
}

/** Where in its chain a map begins, and by which code. Its batches are of these records: one that is opened again may begin elsewhere,
 *  because the beginning of its chain was committed meanwhile, or under another build. Replies that were had are used by all of its starts. */
export interface MapStart {
  readonly over: DatasetRef;
  /** Operators whose results `over` holds already. */
  readonly skip: number;
  /** Digest of the sources that the workers run; empty where nobody has pinned them. */
  readonly build: string;
}

/** What a stage needs to map one operator chain over one dataset. */
export interface MapWork extends MapStart {
  /** Records of it that are tried: all, or the first as many as the budget allows. */
  readonly candidates: number;
  /** What else may end it before its last record. */
  readonly limits: MapLimits | null;
  readonly batches: number;
  readonly batchSize: number;
  /** Batches that are scheduled at once. */
  readonly window: number;
  /** The models to serve and where; null: the batches go to the data workers. */
  readonly lease: Lease | null;
  /** It asks external models. */
  readonly external: boolean;
  readonly until: number | null;
  /** A child on the training's pool computes it: there are no batches. */
  readonly batch: boolean;
}

/** The most that a map may cost. Whichever is spent first counts. */
export interface Budget {
  /** Records that are tried: so many from the first on, whatever becomes of them. */
  readonly candidates?: number;
  /** Tokens that models read and wrote. */
  readonly tokens?: number;
  /** Attempts that operators make (`context.attempts`), counted once their record is done. */
  readonly attempts?: number;
  /** Minutes that workers are at it, added up: waiting for a device and pauses do not count. */
  readonly minutes?: number;
}

/** What ends a map before its last record; null: nothing of the kind does. */
export interface MapLimits {
  /** Records that are settled. */
  readonly quorum: number | null;
  readonly tokens: number | null;
  readonly attempts: number | null;
  readonly minutes: number | null;
}

/** The right to a device group, on which the models of a step are served. */
export interface Lease {
  /** By served name, which carries the digest, so a reply can never come from other weights. */
  readonly models: { readonly [served: string]: ModelRef };
  /** Pool, engine and the engine's options. */
  readonly serving: Serving;
  /** Device groups that the step may hold at once. */
  readonly replicas: number;
}

/** The work of one batch. */
export interface BatchInput {
  readonly call: StepCall;
  readonly context: StepContext;
  readonly work: MapWork;
  readonly batch: number;
}

/** Milliseconds since 1970. */
export interface Span {
  readonly began: number;
  readonly ended: number;
}

/** What one batch came to. */
export interface BatchTotals {
  readonly batch: number;
  readonly in: number;
  /** Kept by the last operator of the chain: records, for `until`. */
  readonly kept: number;
  readonly requests: number;
  readonly tokens: number;
  /** That operators made (`context.attempts`). */
  readonly attempts: number;
  /** Of all attempts of the batch. */
  readonly spans: readonly Span[];
  /** The budget that was spent before all of its records were tried. */
  readonly spent: Exclude<keyof MapLimits, 'quorum'> | null;
}

/** How a map came to its end. */
export interface StageEnd {
  /** Counted from the first: those that were done. */
  readonly batches: number;
  /** Why not all of its candidates were tried; null: they were, or `until` was reached. */
  readonly spent: Spent | null;
}

/** Records tried, records kept, and tokens paid for them. */
export interface RunningTotals {
  readonly tried: number;
  readonly kept: number;
  readonly tokens: number;
}

export interface Spent extends RunningTotals {
  readonly limit: keyof Budget;
}

/** A step that was looked up: what it gave before, or what it would take. */
export type StepLookup = { readonly hit: LedgerEntry } | StepMiss;
export interface StepMiss {
  readonly hit: null;
  readonly stepKey: string;
  readonly work: MapWork | null;
}

/** Who computes a step. */
export interface StepOwner {
  readonly experiment: string;
  /** Of its step. */
  readonly path: string;
}

/** A step that somebody else may compute. */
export interface WantedStep {
  readonly store: string;
  /** Workflow id of the step's stage. */
  readonly stage: string;
  /** Where this experiment would serve the step's models; null: it has none of its own. */
  readonly pool: string | null;
}

/** A source or a model that was read in, and the key that it had then. */
export interface ImportedStep {
  readonly call: StepCall;
  readonly stepKey: string;
}

/** Finished steps of a record, and where the next begin; null: there are none. */
export interface RecordedSteps {
  readonly steps: readonly { readonly path: string; readonly fingerprint: string; readonly entry: LedgerEntry }[];
  readonly next: number | null;
}

/** In a heartbeat: why nothing is asked, and since when (ISO 8601). */
export interface HeldState {
  readonly state: 'held';
  readonly url: string;
  readonly why: string;
  readonly since: string;
}
