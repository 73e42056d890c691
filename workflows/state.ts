/** The state of an experiment apart from its steps: what people decided, why steps wait, and how the experiment ended. */
import type { Result } from '../schemas/call.ts';
import type { Attention, ExperimentRecord } from '../schemas/experiment.ts';
import type { Carried, ControlMemo, ControlState, EditedConfig, Review } from '../schemas/messages.ts';
import type { Budget } from '../schemas/steps.ts';
import type { Cause } from './errors.ts';
import type { Answer } from './updates.ts';

export type AttentionReason = Omit<Attention, 'path'>;
/** A step or a gate at attention. The answer is undefined until a person gives one. */
export interface WaitingStep extends Attention {
  readonly round: number | null;
  answer?: Answer | 'set-budget';
}
interface End {
  readonly state: 'completed' | 'failed' | 'cancelled';
  readonly result: Result | null;
  readonly failure: string | null;
}

/** What an experiment begins with. */
export const initialControl: ControlState = { approved: [], rejected: [], budgets: {}, lost: [], paused: false, stopAfter: null };

export class ExperimentState {
  // The next run takes these over.
  readonly approved: Set<string>;
  readonly rejected: Set<string>;
  /** By path of the gate. */
  readonly reviews: Map<string, Review>;
  /** Set by a person, by the path of the map. */
  readonly budgets: Map<string, Budget>;
  /** Sentences about leases that were lost. */
  readonly lost: Set<string>;
  /** Hash of the reason that a message was posted about, by path of what waits. */
  readonly notified: Map<string, string>;
  /** Sentences about messages that could not be delivered. */
  readonly undelivered: Set<string>;
  paused: boolean;
  stopAfter: number | null;
  /** Settings that a person changed. The next run begins with them. */
  edited: EditedConfig | undefined;
  /** By path, what stood at attention when the last run ended, and later what stands there when this one ends. */
  readonly stood: Map<string, AttentionReason>;
  /** The next run tries every failed step again, since settings or files have changed. */
  retryAll = false;
  /** Sentences about builds that took the experiment over. */
  readonly upgraded: readonly string[];

  // Why steps wait, by path. Nothing is computed for them.
  readonly attention = new Map<string, WaitingStep>();
  /** Who else computes the step. */
  readonly others = new Map<string, string>();
  /** The pool that the step needs and that has no worker, and what is known about why. */
  readonly unpolled = new Map<string, { readonly pool: string; readonly notice: string | undefined }>();

  round: number | null = null;
  /** The run is about to continue as new. The next run takes over what waits. */
  leaving = false;
  /** Why the record cannot be written. */
  recordFailure: Cause | null = null;
  end: End | undefined;
  /** People have not seen the last change yet. */
  changed = false;

  constructor(carried: Carried | undefined) {
    const {
      approved,
      rejected,
      budgets,
      lost,
      paused,
      stopAfter,
      reviews = {},
      notified = {},
      undelivered = [],
      upgraded = [],
    } = carried ?? initialControl;
    this.approved = new Set(approved);
    this.rejected = new Set(rejected);
    this.notified = new Map(Object.entries(notified));
    this.undelivered = new Set(undelivered);
    this.reviews = new Map(Object.entries(reviews));
    this.budgets = new Map(Object.entries(budgets));
    this.lost = new Set(lost);
    this.paused = paused;
    this.stopAfter = stopAfter;
    this.stood = new Map(Object.entries(carried?.stood ?? {}));
    this.upgraded = upgraded;
  }

  /** Call this after every change that people should see. */
  publish(): void {
    this.changed = true;
  }
  finish(end: End): void {
    this.end = end;
    this.publish();
  }

  /** Whether this round comes after the last one that a person wants. */
  isUndone = (round: number | null): boolean => round !== null && this.stopAfter !== null && round > this.stopAfter;

  get name(): ExperimentRecord['state'] {
    if (this.end) return this.end.state;
    if (this.paused) return 'paused';
    return this.attention.size > 0 || this.recordFailure ? 'attention' : 'running';
  }

  /** As soon as anything changes it is in the workflow's memo, from where another build can take the experiment over. */
  get memo(): ControlMemo {
    return {
      approved: [...this.approved],
      rejected: [...this.rejected],
      budgets: Object.fromEntries(this.budgets),
      lost: [...this.lost],
      paused: this.paused,
      stopAfter: this.stopAfter,
      ...(this.reviews.size > 0 && { reviews: Object.fromEntries(this.reviews) }),
      ...(this.notified.size > 0 && { notified: Object.fromEntries(this.notified) }),
      ...(this.undelivered.size > 0 && { undelivered: [...this.undelivered] }),
      ...(this.upgraded.length > 0 && { upgraded: this.upgraded }),
      ...(this.edited && { mended: this.edited }),
    };
  }
  carried(): ControlState & Pick<Carried, 'stood'> {
    const { mended: _, ...control } = this.memo;
    return { ...control, stood: this.retryAll ? {} : Object.fromEntries(this.stood) };
  }
}
