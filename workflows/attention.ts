/** Steps and gates at attention wait here for a person, or for room on the disk. */
import { ApplicationFailure, condition } from '@temporalio/workflow';
import type { StepCall } from '../schemas/call.ts';
import type { EditedConfig } from '../schemas/messages.ts';
import { RestartRecipe } from './errors.ts';
import type { RunningSteps } from './running-steps.ts';
import type { AttentionReason, ExperimentState, WaitingStep } from './state.ts';
import type { StepTable } from './step-table.ts';

/** Type of the error with which an experiment fails when a person gives a step up. */
export const GIVEN_UP = 'GivenUp';

interface AttentionHooks {
  /** Called when something begins to stand at attention, and when it stops. */
  readonly changed: () => void;
  /** Called with what begins to stand at attention, and with its path when it stops, unless the next run goes on with it. */
  readonly stands: (waiting: WaitingStep) => void;
  readonly answered: (path: string) => void;
  /** Applies the settings and files that a person changed. Returns whether the recipe must run from the top for it. */
  readonly applyEdits: (edited: EditedConfig | undefined) => Promise<boolean>;
}

export class AttentionControl {
  readonly #state: ExperimentState;
  readonly #table: StepTable;
  readonly #running: RunningSteps;
  readonly #hooks: AttentionHooks;

  constructor(state: ExperimentState, table: StepTable, running: RunningSteps, hooks: AttentionHooks) {
    this.#state = state;
    this.#table = table;
    this.#running = running;
    this.#hooks = hooks;
  }

  /** Waits for a person's answer. Resolves on `approve`, `set-budget`, and on `retry-step` where nothing was edited. */
  async awaitAnswer(at: Pick<StepCall, 'path' | 'round'>, why: AttentionReason): Promise<void> {
    const state = this.#state;
    const answer = await this.stand(at, why, async (waiting) => {
      await condition(() => waiting.answer !== undefined || state.leaving || state.isUndone(at.round));
      return waiting.answer;
    });
    if (state.isUndone(at.round)) throw new RestartRecipe();
    if (answer === undefined) {
      if (why.kind !== 'gate') state.stood.set(at.path, why); // the next run asks at a gate by itself
      throw new RestartRecipe();
    }
    if (answer === 'retry-step' && (await this.#hooks.applyEdits(state.edited))) {
      state.retryAll = true;
      this.#running.leave();
      this.#running.interrupt(() => true);
      throw new RestartRecipe();
    }
    if (answer !== 'give-up') return;
    this.#table.failed(at.path);
    throw ApplicationFailure.nonRetryable(`${at.path} was given up: ${why.reason}`, GIVEN_UP);
  }

  /** Shows the reason until `end` settles. */
  async stand<T>(
    { path, round }: Pick<StepCall, 'path' | 'round'>,
    why: AttentionReason,
    end: (waiting: WaitingStep) => Promise<T>,
  ): Promise<T> {
    const waiting: WaitingStep = { path, round, ...why };
    this.#state.attention.set(path, waiting);
    this.#running.waitingChanged(path);
    this.#hooks.changed();
    this.#hooks.stands(waiting);
    try {
      return await end(waiting);
    } finally {
      this.#state.attention.delete(path);
      if (!this.#state.leaving) this.#hooks.answered(path);
      this.#table.touch(path);
      this.#state.publish();
      this.#hooks.changed();
    }
  }
}
