/** Queries, updates and input of the experiment workflow. Types and definitions only. */
import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { DatasetRef } from './call.ts';
import type { ReviewCounts } from './precision.ts';
import type { Budget } from './steps.ts';
import type { BoundConfig } from './config.ts';
import type { Attention, ExperimentRecord, LedgerEntry, RecordVersion } from './experiment.ts';

/** Input of the root workflow, and what it carries over when it continues as new. */
export interface ExperimentInput {
  readonly store: string;
  readonly config: BoundConfig;
  readonly configDigest: string;
  readonly parent: { readonly name: string; readonly round: number } | null;
  /** For a fork: the parent's results by path. A step with the same path and inputs (sorted digests) takes the parent's result, whatever
   *  its parameters are. */
  readonly pins: { readonly [path: string]: { readonly entry: LedgerEntry; readonly inputs: readonly string[] } };
  /** Missing in the first run. */
  readonly carried?: Carried;
  /** Number of events at which the workflow continues as new. Default: when the server suggests it. Tests lower it. */
  readonly historyLimit?: number;
}
export interface Carried extends ControlState {
  readonly ledger: { readonly [fingerprint: string]: LedgerEntry };
  /** Version of the record that holds the ledger, if the ledger is too large to carry over. */
  readonly recorded?: RecordVersion;
  /** By path and digests of the reports. */
  readonly decisions: { readonly [question: string]: unknown };
  /** Steps that needed attention when the run ended, by path. */
  readonly stood: { readonly [path: string]: Omit<Attention, 'path'> };
  /** Steps that ran again because their inputs were missing. */
  readonly healed: readonly string[];
}

/** Decisions of the user, and lasting notices for the user. */
export interface ControlState {
  readonly approved: readonly string[];
  readonly rejected: readonly string[];
  /** Budgets that the user has changed, by path of the step. */
  readonly budgets: { readonly [path: string]: Budget };
  /** Sentences about lost leases of steps that went on without them. */
  readonly lost: readonly string[];
  readonly paused: boolean;
  readonly stopAfter: number | null;
  /** What people found in the records of gates, by path of the gate. */
  readonly reviews?: { readonly [path: string]: Review };
  /** Reasons of what waits and was notified of, hashed, by path. */
  readonly notified?: { readonly [path: string]: string };
  /** Sentences about messages that could not be delivered. */
  readonly undelivered?: readonly string[];
  /** Sentences about changes of the build during the experiment. */
  readonly upgraded?: readonly string[];
}
/** Name of the workflow memo with the control state. The workflow updates it at once, so a new build can take over without the code of the
 *  old one. */
export const CONTROL_MEMO = 'said';
export interface ControlMemo extends ControlState {
  /** Settings that the user has changed and no run has started with yet. */
  readonly mended?: EditedConfig;
}

/** The state of an experiment. With the version of a record it returns only steps that have changed since, if the workflow still knows
 *  them. */
export const progress = defineQuery<Progress, [RecordVersion?]>('progress');
export interface Progress extends ExperimentRecord {
  readonly since?: RecordVersion;
}

/** Path of the waiting step or gate, or the end of the path. Optional if only one waits. */
export interface Target {
  readonly path?: string;
}

/** Stops scheduling. Batches in flight are interrupted within two seconds, and devices are released. */
export const pause = defineUpdate<void>('pause');
export const resume = defineUpdate<void>('resume');
/** Approves a gate, or lets a map whose budget is spent continue with its records so far. */
export const approve = defineUpdate<void, [Target]>('approve');
/** What people decided about a sample of the records that a gate holds. */
export interface Review {
  /** Digest of the records. */
  readonly of: string;
  readonly verdicts: DatasetRef;
  readonly counts: ReviewCounts;
  /** Whether rejected records go on with the others. */
  readonly rejected: 'drop' | 'keep';
}
/** Lets a gate pass with its records as a review left them. */
export const review = defineUpdate<void, [Target & Review]>('review');
/** Rejects a gate: undoes its round and ends the experiment with the results before it. */
export const reject = defineUpdate<void, [Target]>('reject');
/** Changes the budget of a running map, or of one that waits because its budget is spent. Unnamed limits stay as they are. */
export const setBudget = defineUpdate<void, [Target & Budget]>('setBudget');
/** The configuration of the same experiment with other settings; the sender has checked it. */
export interface EditedConfig {
  readonly config: BoundConfig;
  readonly configDigest: string;
}
/** Retries a step at `attention`, with the current content of imported files and with changed settings, if any. */
export const retryStep = defineUpdate<void, [Target & Partial<EditedConfig>]>('retryStep');
/** Gives up a waiting step; the experiment fails once its other arms have ended. */
export const giveUp = defineUpdate<void, [Target]>('giveUp');
export const stopAfterRound = defineUpdate<void, [{ readonly round: number }]>('stopAfterRound');
