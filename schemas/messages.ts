/** What an experiment can be told and asked, by name. Types and definitions only. */
import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { Budget } from './steps.ts';
import type { BoundConfig } from './config.ts';
import type { Attention, ExperimentRecord, LedgerEntry, RecordVersion } from './experiment.ts';

/** What the root workflow is started with, and what it carries when it continues as new. */
export interface ExperimentInput {
  readonly store: string;
  readonly config: BoundConfig;
  readonly configDigest: string;
  readonly parent: { readonly name: string; readonly round: number } | null;
  /** A fork's: what the parent's steps gave, by path. A step with the same path and inputs (digests, sorted) takes the parent's
   *  result, whatever its parameters are. */
  readonly pins: { readonly [path: string]: { readonly entry: LedgerEntry; readonly inputs: readonly string[] } };
  /** Begins empty. */
  readonly carried?: Carried;
  /** Continue as new at this many events; default: when the server suggests it. Tests lower it. */
  readonly historyLimit?: number;
}
export interface Carried extends ControlState {
  readonly ledger: { readonly [fingerprint: string]: LedgerEntry };
  /** The writing of the record that holds the ledger, where that is too much to be carried. */
  readonly recorded?: RecordVersion;
  /** By path and digests of the reports. */
  readonly decisions: { readonly [question: string]: unknown };
  /** Steps that stood at attention when the run ended, by path. */
  readonly stood: { readonly [path: string]: Omit<Attention, 'path'> };
  /** Steps whose inputs were found missing and made again. */
  readonly healed: readonly string[];
}

/** What a person has said, and what a person is to know for good. */
export interface ControlState {
  readonly approved: readonly string[];
  readonly rejected: readonly string[];
  /** Set by a person, by the path of the step. */
  readonly budgets: { readonly [path: string]: Budget };
  /** Sentences about leases that were lost while others went on. */
  readonly lost: readonly string[];
  readonly paused: boolean;
  readonly stopAfter: number | null;
  /** Sentences about builds that took the experiment over. */
  readonly upgraded?: readonly string[];
}
/** The workflow's memo of this name holds what was said, as soon as it is: whoever takes the experiment over with another build needs none
 *  of the code of the one before to know it. */
export const CONTROL_MEMO = 'said';
export interface ControlMemo extends ControlState {
  /** Settings that a person has changed, and no run has begun with yet. */
  readonly mended?: EditedConfig;
}

/** The state of an experiment; for who has its record as it was written then, only those steps that are other than in it, if that is
 *  still known. */
export const progress = defineQuery<Progress, [RecordVersion?]>('progress');
export interface Progress extends ExperimentRecord {
  readonly since?: RecordVersion;
}

/** The path of what waits, or its end; it may be left out where one thing waits. */
export interface Target {
  readonly path?: string;
}

/** Stops admitting; batches in flight go back within two seconds and devices are released. */
export const pause = defineUpdate<void>('pause');
export const resume = defineUpdate<void>('resume');
/** Lets a gate pass, or a map whose budget is spent go on with what there is. */
export const approve = defineUpdate<void, [Target]>('approve');
/** Refuses what a gate holds: its round is undone, and the experiment ends with what it had before. */
export const reject = defineUpdate<void, [Target]>('reject');
/** Changes the budget of a map that runs, or waits because its budget is spent. What is not named stays as it is. */
export const setBudget = defineUpdate<void, [Target & Budget]>('setBudget');
/** A configuration of the same experiment with other settings, checked by whoever sends it. */
export interface EditedConfig {
  readonly config: BoundConfig;
  readonly configDigest: string;
}
/** Runs a step at `attention` again, with the files that were read in as they are now, and other settings where some are given. */
export const retryStep = defineUpdate<void, [Target & Partial<EditedConfig>]>('retryStep');
/** Gives up what waits; the experiment fails once its other arms have ended. */
export const giveUp = defineUpdate<void, [Target]>('giveUp');
export const stopAfterRound = defineUpdate<void, [{ readonly round: number }]>('stopAfterRound');
