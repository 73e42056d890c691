/** The steps that have begun and not ended: which of them wait, how they are interrupted, and when they may go on. */
import { CancellationScope, condition } from '@temporalio/workflow';
import type { StepCall } from '../schemas/call.ts';
import { RestartRecipe } from './errors.ts';
import type { ExperimentState } from './state.ts';
import type { StepTable } from './step-table.ts';

export interface RunningStep {
  readonly call: StepCall;
  /** Of what runs for it; undefined while nothing does. */
  scope: CancellationScope | undefined;
  /** Its scope was cancelled, and it is to be tried again. */
  interrupted: boolean;
  /** It waits for the end of a pause. */
  held: boolean;
}

export class RunningSteps {
  readonly #state: ExperimentState;
  readonly #table: StepTable;
  readonly #byPath = new Map<string, RunningStep>();

  constructor(state: ExperimentState, table: StepTable) {
    this.#state = state;
    this.#table = table;
  }

  begin(call: StepCall): RunningStep {
    const step: RunningStep = { call, scope: undefined, interrupted: false, held: false };
    this.#byPath.set(call.path, step);
    return step;
  }
  end({ path }: StepCall): void {
    this.#byPath.delete(path);
  }

  interrupt(which: (call: StepCall) => boolean): void {
    for (const step of this.#byPath.values()) {
      if (!which(step.call)) continue;
      step.interrupted = true;
      step.scope?.cancel();
    }
  }

  /** The run ends as soon as no step computes anything. The next run takes over the steps that wait. */
  leave(): void {
    this.#state.leaving = true;
    this.interrupt(this.#isWaiting);
  }

  /** Nothing is computed for any step. */
  get idle(): boolean {
    return [...this.#byPath.values()].every(({ call }) => this.#isWaiting(call));
  }
  #isWaiting = ({ path }: StepCall): boolean => {
    const { attention, others, unpolled } = this.#state;
    return attention.has(path) || others.has(path) || unpolled.has(path) || (this.#byPath.get(path)?.held ?? false);
  };
  /** Call this when a step begins to wait, and when it stops waiting. */
  waitingChanged(path: string): void {
    this.#table.touch(path);
    if (this.#state.leaving) this.interrupt((call) => call.path === path && this.#isWaiting(call));
    this.#state.publish();
  }

  /** Resolves when no pause holds the step up. Throws where its round was undone or the run is about to end. */
  async untilAdmitted({ path, round }: StepCall): Promise<void> {
    const state = this.#state;
    const step = this.#byPath.get(path);
    if (step) step.held = state.paused;
    await condition(() => !state.paused || state.leaving || state.isUndone(round));
    if (step) step.held = false;
    if (state.leaving || state.isUndone(round)) throw new RestartRecipe();
  }
}
