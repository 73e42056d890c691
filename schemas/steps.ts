/** Types that workflows and activities exchange about a step: its work and its outcome. */
import type { StepCall, DatasetRef, ModelRef } from './call.ts';
import type { BoundConfig } from './config.ts';
import type { LedgerEntry } from './experiment.ts';
import type { External } from './external.ts';
import type { Notify } from './notify.ts';
import type { Serving } from './serving.ts';

/** The part of an experiment that a step needs, sent with every call. */
export interface StepContext {
  readonly experiment: string;
  /** The store keeps step notes under this digest; without it there are none. */
  readonly configDigest?: string;
  readonly seed: number;
  readonly modules: BoundConfig['modules'];
  readonly serving: BoundConfig['serving'];
  readonly roles: BoundConfig['roles'];
  readonly training: BoundConfig['training'];
  /** External models of the experiment file. */
  readonly external: readonly External[];
  readonly notify?: Notify;
  /** When this experiment began to perform the step, in milliseconds since 1970. Missing in earlier histories. */
  readonly began?: number;
}

/**
 * Where in its chain a map starts, and with which build. Its batches hold records of `over`. A map that is opened again may start
 * elsewhere, because another experiment has committed a prefix of its chain or the build has changed. Starts share the replies they have
 * received.
 */
export interface MapStart {
  readonly over: DatasetRef;
  /** Operators whose results `over` already contains. */
  readonly skip: number;
  /** Digest of the sources that the workers run; empty if they are not pinned. */
  readonly build: string;
}

/** The work of a stage: one chain of operators over one dataset. */
export interface MapWork extends MapStart {
  /** Records to try: all, or as many of the first as the budget allows. */
  readonly candidates: number;
  /** Other limits that may end the map before its last record. */
  readonly limits: MapLimits | null;
  readonly batches: number;
  readonly batchSize: number;
  /** Batches to schedule at once. */
  readonly window: number;
  /** The models to serve; null: data workers run the batches. */
  readonly lease: Lease | null;
  /** The step asks external models. */
  readonly external: boolean;
  readonly until: number | null;
  /** A subprocess on the training pool computes the step instead of batches. */
  readonly batch: boolean;
  /** The subprocess is that of a tagger. */
  readonly tags?: true;
}

/** The most that a map may cost. The first limit reached ends it. */
export interface Budget {
  /** Records to try, counted from the first, whatever their outcome. */
  readonly candidates?: number;
  /** Prompt and completion tokens. */
  readonly tokens?: number;
  /** Attempts that operators make (`context.attempts`), counted when their record finishes. */
  readonly attempts?: number;
  /** Minutes of work summed over workers; waiting for a device and pauses do not count. */
  readonly minutes?: number;
}

/** Limits that end a map before its last record; null: no limit. */
export interface MapLimits {
  /** Records to finish. */
  readonly quorum: number | null;
  readonly tokens: number | null;
  readonly attempts: number | null;
  readonly minutes: number | null;
}

/** A request for device groups on which to serve the models of a step. */
export interface Lease {
  /** By served name. The name carries the digest, so a reply never comes from other weights. */
  readonly models: { readonly [served: string]: ModelRef };
  /** Pool, engine and the engine's options. */
  readonly serving: Serving;
  /** The most device groups that the step may hold at once. */
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

/** Requests to a model, and the tokens that it read and wrote. */
export interface TokenUse {
  readonly requests: number;
  readonly read: number;
  readonly written: number;
}
export type TokenUses = Readonly<Record<string, TokenUse>>;

/** The sum for each key. */
export function addUses(a: TokenUses, b: TokenUses = {}): TokenUses {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return Object.fromEntries(
    keys.map((key) => {
      const [one, other] = [a[key] ?? noUse, b[key] ?? noUse];
      return [key, { requests: one.requests + other.requests, read: one.read + other.read, written: one.written + other.written }];
    }),
  );
}
const noUse: TokenUse = { requests: 0, read: 0, written: 0 };

/** The outcome of one batch. */
export interface BatchTotals {
  readonly batch: number;
  readonly in: number;
  /** Records that the last operator of the chain kept, for `until`. */
  readonly kept: number;
  readonly requests: number;
  /** By role. Missing in totals of an earlier version. */
  readonly uses?: TokenUses;
  readonly tokens: number;
  /** Attempts that operators made (`context.attempts`). */
  readonly attempts: number;
  /** Spans of all attempts of the batch. */
  readonly spans: readonly Span[];
  /** The budget that ended the batch before its last record. */
  readonly spent: Exclude<keyof MapLimits, 'quorum'> | null;
}

/** The outcome of a stage. */
export interface StageEnd {
  /** Number of finished batches, counted from the first. */
  readonly batches: number;
  /** Why the map did not try all candidates; null: it did, or it reached `until`. */
  readonly spent: Spent | null;
}

/** Records tried, records kept, and tokens used. */
export interface RunningTotals {
  readonly tried: number;
  readonly kept: number;
  readonly tokens: number;
}

export interface Spent extends RunningTotals {
  readonly limit: keyof Budget;
}

/** The result of looking a step up: its stored output, or the work to do. */
export type StepLookup = { readonly hit: LedgerEntry } | StepMiss;
export interface StepMiss {
  readonly hit: null;
  readonly stepKey: string;
  readonly work: MapWork | null;
}

/** The experiment that computes a step. */
export interface StepOwner {
  readonly experiment: string;
  /** Path of the step there. */
  readonly path: string;
}

/** A step that another experiment may be computing. */
export interface WantedStep {
  readonly store: string;
  /** Workflow id of the step's stage. */
  readonly stage: string;
  /** Pool on which this experiment would serve the step's models; null: it serves none. */
  readonly pool: string | null;
}

/** An imported source or model, and its key at the time of the import. */
export interface ImportedStep {
  readonly call: StepCall;
  readonly stepKey: string;
}

/** A page of finished steps, and the start of the next page; null: there is none. */
export interface RecordedSteps {
  readonly steps: readonly { readonly path: string; readonly fingerprint: string; readonly entry: LedgerEntry }[];
  readonly next: number | null;
}

/** In a heartbeat: why the limiter sends nothing, and since when (ISO 8601). */
export interface HeldState {
  readonly state: 'held';
  readonly url: string;
  readonly why: string;
  readonly since: string;
}

/** In a heartbeat: how far the download of an import is. */
export interface DownloadState {
  readonly state: 'downloading';
  readonly bytes: number;
  readonly of: number;
}
