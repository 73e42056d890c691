/** What happens to a step while it runs: pause, failures, a spent budget, a full disk. Gates and rounds are held up here too. */
import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { AnyRef, StepCall } from '../schemas/call.ts';
import type { Review } from '../schemas/messages.ts';
import type { LedgerEntry, Step } from '../schemas/experiment.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Budget, Spent } from '../schemas/steps.ts';
import type { Gate } from '../recipe/runtime.ts';
import { GIVEN_UP, type AttentionControl } from './attention.ts';
import { causeOf, RestartRecipe, type Cause } from './errors.ts';
import type { StepObserver } from './executor.ts';
import type { RunningSteps } from './running-steps.ts';
import type { ExperimentState } from './state.ts';
import type { StepTable } from './step-table.ts';

/** How a step is carried out. */
export interface StepHandlers {
  readonly perform: () => Promise<LedgerEntry>;
  /** Resolves once the store has room for it. */
  readonly room: () => Promise<void>;
  /** Whether an error of this type goes away when the recipe runs from the top and asks for the step again. */
  readonly invalidateMissingInputs: (type: string) => boolean;
}

export class StepSupervisor implements StepObserver {
  /** Of the experiment. Its name stands in the commands that people are shown. */
  readonly #config: Pick<BoundConfig, 'name' | 'review'>;
  readonly #state: ExperimentState;
  readonly #table: StepTable;
  readonly #running: RunningSteps;
  readonly #attention: AttentionControl;

  constructor(
    config: Pick<BoundConfig, 'name' | 'review'>,
    state: ExperimentState,
    table: StepTable,
    running: RunningSteps,
    attention: AttentionControl,
  ) {
    this.#config = config;
    this.#state = state;
    this.#table = table;
    this.#running = running;
    this.#attention = attention;
  }

  /** Performs a step. A pause or a full disk holds it up; when it fails for good, it stands at attention and is then tried again. */
  async carryOut(call: StepCall, { perform, room, invalidateMissingInputs }: StepHandlers): Promise<LedgerEntry> {
    const step = this.#running.begin(call);
    let low: string | undefined;
    try {
      await this.#resumeAttention(call);
      for (;;) {
        this.#update(call, { state: 'running' });
        await this.#running.untilAdmitted(call);
        const scope = (step.scope = new CancellationScope());
        step.interrupted = false;
        try {
          if (low !== undefined) {
            const remedy = '`backspin gc` lists what no experiment needs; it goes on by itself once there is room';
            await this.#attention.stand(call, { kind: 'space', reason: low, remedy }, () => scope.run(room));
            low = undefined;
            continue;
          }
          const entry = await scope.run(perform);
          this.done(call, entry);
          return entry;
        } catch (error) {
          if (step.interrupted && !CancellationScope.current().consideredCancelled) continue;
          if (isCancellation(error)) {
            this.#update(call, { state: 'cancelled' });
            throw error;
          }
          const { type, message } = causeOf(error);
          if (error instanceof RestartRecipe || type === GIVEN_UP) throw error;
          if (invalidateMissingInputs(type)) throw new RestartRecipe();
          if (type === 'LowWater') {
            low = message;
            continue;
          }
          const remedy = `mend the cause, then ${this.#command('retry-step', call)}; or ${this.#command('give-up', call)}`;
          await this.#attention.awaitAnswer(call, { kind: 'step', reason: `${type}: ${message}`, remedy });
        }
      }
    } finally {
      this.#running.end(call);
    }
  }

  /** A step that stood at attention when the last run ended does so again, since nothing has changed. */
  async #resumeAttention(call: StepCall): Promise<void> {
    const why = this.#state.stood.get(call.path);
    if (!why) return;
    this.#state.stood.delete(call.path);
    this.#update(call, {});
    await this.#attention.awaitAnswer(call, why);
  }

  opened(call: StepCall, stepKey: string): void {
    this.#update(call, { stepKey });
  }
  /** `recorded`: the record in the store holds the result already. */
  done(call: StepCall, { result, stepKey, cached }: LedgerEntry, recorded = false): void {
    this.#table.set(call, { state: 'completed', stepKey, cached, result }, recorded);
    this.#state.publish();
  }
  #update(call: StepCall, now: Partial<Step>): void {
    this.#table.set(call, now);
    this.#state.publish();
  }

  unpolled({ path }: StepCall, pool: string | null, notice?: string): void {
    if (pool === null) this.#state.unpolled.delete(path);
    else this.#state.unpolled.set(path, { pool, notice });
    this.#running.waitingChanged(path);
  }
  other({ path }: StepCall, who: string | null): void {
    if (who === null) this.#state.others.delete(path);
    else this.#state.others.set(path, who);
    this.#running.waitingChanged(path);
  }
  leaseLost({ path }: StepCall, of: number, { type, message }: Cause): void {
    this.#state.lost.add(`One of the ${of} leases of ${path} is lost for good, and the step goes on with the others: ${type}: ${message}`);
    this.#state.publish();
  }

  budgetOf({ path, inputs }: StepCall): Budget {
    return { ...(inputs['budget'] as Budget | undefined), ...this.#state.budgets.get(path) };
  }
  async spent(call: StepCall, { limit, tried, kept, tokens }: Spent): Promise<boolean> {
    const { approved } = this.#state;
    if (!approved.has(call.path)) {
      const reason = `its budget of ${number(this.budgetOf(call)[limit]!)} ${limit} is spent: ${number(tried)} records were tried and ${number(kept)} kept, for ${number(tokens)} tokens`;
      const remedy = `${this.#command('approve', call)} goes on with what was kept, ${this.#command('set-budget', call, ` --${limit} N`)} with more, ${this.#command('give-up', call)} ends the experiment as failed`;
      await this.#attention.awaitAnswer(call, { kind: 'budget', reason, remedy });
      await this.#running.untilAdmitted(call);
    }
    return approved.has(call.path);
  }

  /** Resolves when nothing is short, or when a person approved the gate, or reviewed its records. */
  async gate(gate: Gate, of: AnyRef): Promise<Review | undefined> {
    const { path, round } = gate;
    const { approved, reviews } = this.#state;
    const known = reviews.get(path);
    if (known?.of === of.digest) return known;
    reviews.delete(path); // it was of records that were made again
    const rows = of.kind === 'dataset' ? of.rows : 0;
    const wanted = Math.min(this.#config.review ?? 0, rows);
    const short = gate.short ?? (wanted > 0 ? `waits for a review of ${number(wanted)} of its ${number(rows)} records` : null);
    if (short === null || approved.has(path)) return undefined;
    const from = this.#table.giving(of);
    const ways = [
      `look at its records with ${this.#command('show', from)}, at what was dropped with ${this.#command('show', from, ' --dropped all')}`,
      ...(of.kind === 'dataset' ? [`${this.#command('review', gate)} goes through a sample of them`] : []),
      `${this.#command('approve', gate)} goes on with what there is`,
      ...(round === null ? [] : [`${this.#command('reject', gate)} ends the experiment with what it had before round ${round}`]),
      `${this.#command('give-up', gate)} ends it as failed`,
    ];
    const why = {
      kind: 'gate',
      reason: `the gate ${short}`,
      remedy: ways.join('; '),
      ...(of.kind === 'dataset' && { records: of }),
    } as const;
    await this.#attention.awaitAnswer(gate, why);
    return reviews.get(path);
  }

  /** Waits for the end of a pause. False: a person has ended the experiment before this round. */
  async beginRound(number: number): Promise<boolean> {
    const state = this.#state;
    await condition(() => !state.paused);
    if (state.isUndone(number)) return false;
    state.round = number;
    state.publish();
    return true;
  }

  #command = (verb: string, { path }: Pick<StepCall, 'path'>, more = ''): string =>
    `\`backspin ${verb} ${this.#config.name} ${path}${more}\``;
}

const number = (n: number): string => n.toLocaleString('en-US');
