/** What a person sees of an experiment and what becomes of what they say: steps, rounds, pause, attention. */
import {
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  log,
  setCurrentDetails,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { Spent, Budget } from '../schemas/steps.ts';
import { canonical, type AnyRef, type StepCall, type Result } from '../schemas/call.ts';
import type { Gate } from '../recipe/runtime.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Attention, ExperimentRecord, LedgerEntry, Step } from '../schemas/experiment.ts';
import { details } from './details.ts';
import { causeOf, RestartRecipe, type Cause } from './errors.ts';
import {
  CONTROL_MEMO,
  type Carried,
  type ExperimentInput,
  type EditedConfig,
  type ControlState,
  type ControlMemo,
} from '../schemas/messages.ts';
import { StepTable } from './step-table.ts';
import { listen, type Answer, type Listener } from './updates.ts';

const stateKey = defineSearchAttributeKey('BackspinState', 'KEYWORD');
const roundKey = defineSearchAttributeKey('BackspinRound', 'INT');
const GIVEN_UP = 'GivenUp';

type StepLocation = Pick<StepCall, 'path' | 'round'>;
type AttentionReason = Omit<Attention, 'path'>;
interface WaitingStep extends StepLocation, AttentionReason {
  answer?: Answer | 'set-budget';
}
/** A step that has been begun and has not ended. */
interface RunningStep {
  readonly call: StepCall;
  /** What runs for it; undefined while nothing does. */
  scope: CancellationScope | undefined;
  interrupted: boolean;
  /** It waits for the end of a pause. */
  held: boolean;
}

/** How a step is carried out. */
export interface StepHandlers {
  readonly perform: () => Promise<LedgerEntry>;
  /** Resolves once the store has room for it. */
  readonly room: () => Promise<void>;
  /** Whether an error of this type is mended by asking for the step again, from the top. */
  readonly invalidateMissingInputs: (type: string) => boolean;
}

export class Control implements Listener {
  /** Called when something begins to stand at attention, and when it does no more. */
  onAttention: () => void = () => {};
  /** Takes up what a person has mended: settings, or files that were read in. Whether the recipe runs from the top for it. */
  takeUp: (mended: EditedConfig | undefined) => Promise<boolean> = async () => false;
  readonly #input: ExperimentInput;
  readonly #steps = new StepTable();
  readonly #waiting = new Map<string, WaitingStep>();
  /** By path. */
  readonly #working = new Map<string, RunningStep>();
  /** Path of a step -> who else computes it. */
  readonly #others = new Map<string, string>();
  /** Path of a step -> the pool that it waits for and that has no worker. */
  readonly #unpolled = new Map<string, string>();
  /** What was said of leases that were lost. */
  readonly #lost: Set<string>;
  /** What was said of builds that took it over. */
  readonly #upgraded: readonly string[];
  /** What stood at attention when the run before ended, and when this one does. */
  readonly #stood: Map<string, AttentionReason>;
  readonly #approved: Set<string>;
  readonly #rejected: Set<string>;
  readonly #budgets: Map<string, Budget>;
  #paused: boolean;
  #stopAfter: number | null;
  #round: number | null = null;
  /** The run comes to its end, and the next goes on with what waits. */
  #leaving = false;
  /** The next run takes up what was mended, and tries anew what stands at attention in this one. */
  #anew = false;
  #mended: EditedConfig | undefined;
  /** Why the record cannot be written. */
  #unrecorded: Cause | null = null;
  #ended: { state: 'completed' | 'failed' | 'cancelled'; result: Result | null; failure: string | null } | undefined;
  #changed = false;
  #published = '';
  /** The memo, as it is. */
  #memo = canonical(workflowInfo().memo?.[CONTROL_MEMO] ?? initialState);

  constructor(input: ExperimentInput) {
    const { approved, rejected, budgets, lost, paused, stopAfter, upgraded = [] } = input.carried ?? initialState;
    this.#input = input;
    this.#lost = new Set(lost);
    this.#upgraded = upgraded;
    this.#approved = new Set(approved);
    this.#rejected = new Set(rejected);
    this.#budgets = new Map(Object.entries(budgets));
    this.#paused = paused;
    this.#stopAfter = stopAfter;
    this.#stood = new Map(Object.entries(input.carried?.stood ?? {}));
    listen(this);
    CancellationScope.nonCancellable(() => this.#show()).catch((error: unknown) => log.error('the state is shown no more', { error }));
  }

  // ───────────────────────────────────────── what a person says ─────────────────────────────────────────

  /** Interrupts what runs. What waits for a person holds no device, and goes on waiting. */
  pause(): void {
    this.#paused = true;
    this.#interrupt(({ path }) => !this.#waiting.has(path));
    this.publish();
  }
  resume(): void {
    this.#paused = false;
    this.publish();
  }
  stopAfter(round: number): void {
    this.#stopAfter = round;
    this.publish();
  }
  answer(path: string, answer: Answer, mended?: EditedConfig): void {
    const waiting = this.#waiting.get(path)!;
    this.#mended ??= mended;
    if (answer === 'approve') this.#approved.add(path);
    if (answer === 'reject') {
      this.#rejected.add(path);
      this.#stopAfter = waiting.round! - 1;
      this.#interrupt(({ round }) => this.#isUndone(round));
    }
    waiting.answer = answer;
    this.publish();
  }
  /** Changes a budget; a map that runs begins anew under it, where it was. */
  setBudget(path: string, more: Budget): void {
    this.#budgets.set(path, { ...this.#budgets.get(path), ...more });
    this.#approved.delete(path);
    const waiting = this.#waiting.get(path);
    if (waiting) waiting.answer = 'set-budget';
    else this.#interrupt((call) => call.path === path);
    this.publish();
  }
  #interrupt(what: (call: StepCall) => boolean): void {
    for (const work of this.#working.values()) {
      if (!what(work.call)) continue;
      work.interrupted = true;
      work.scope?.cancel();
    }
  }

  // ───────────────────────────────────────── what the recipe does ─────────────────────────────────────────

  /** Carries a step out: held while paused and while the disk is too full, stood at attention when it failed for good. */
  async through(call: StepCall, { perform, room, invalidateMissingInputs }: StepHandlers): Promise<LedgerEntry> {
    const work: RunningStep = { call, scope: undefined, interrupted: false, held: false };
    this.#working.set(call.path, work);
    let low: string | undefined;
    try {
      await this.#resumeAttention(call);
      for (;;) {
        this.#set(call, { state: 'running' });
        await this.#untilAdmitted(call);
        const scope = (work.scope = new CancellationScope());
        work.interrupted = false;
        try {
          if (low !== undefined) {
            const remedy = '`backspin gc` lists what no experiment needs; it goes on by itself once there is room';
            await this.#standAtAttention(call, { kind: 'space', reason: low, remedy }, () => scope.run(room));
            low = undefined;
            continue;
          }
          const entry = await scope.run(perform);
          this.done(call, entry);
          return entry;
        } catch (error) {
          if (work.interrupted && !CancellationScope.current().consideredCancelled) continue;
          if (isCancellation(error)) {
            this.#set(call, { state: 'cancelled' });
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
          await this.#awaitAnswer(call, { kind: 'step', reason: `${type}: ${message}`, remedy });
        }
      }
    } finally {
      this.#working.delete(call.path);
    }
  }

  /** A step that stood at attention when the run before ended does so again: nothing has changed. */
  async #resumeAttention(call: StepCall): Promise<void> {
    const why = this.#stood.get(call.path);
    if (!why) return;
    this.#stood.delete(call.path);
    this.#set(call, {});
    await this.#awaitAnswer(call, why);
  }

  /** The run ends at the next quiet moment: what only waits is left to the next. */
  leave(): void {
    this.#leaving = true;
    this.#interrupt((call) => this.#isWaiting(call));
  }
  /** Nothing is computed for this step. */
  #isWaiting = ({ path }: Pick<StepCall, 'path'>): boolean =>
    this.#waiting.has(path) || this.#others.has(path) || this.#unpolled.has(path) || (this.#working.get(path)?.held ?? false);
  /** Nothing is computed for any step. */
  get idle(): boolean {
    return [...this.#working.values()].every(({ call }) => this.#isWaiting(call));
  }
  /** A step has begun to wait, or waits no more. */
  #updateWaiting(path: string): void {
    this.#steps.touch(path);
    if (this.#leaving) this.#interrupt((call) => call.path === path && this.#isWaiting(call));
    this.publish();
  }

  /** Whether a map whose budget is spent goes on with what there is; otherwise a person has given it another. */
  async spent(call: StepCall, { limit, tried, kept, tokens }: Spent): Promise<boolean> {
    if (!this.#approved.has(call.path)) {
      const reason = `its budget of ${number(this.budgetOf(call)[limit]!)} ${limit} is spent: ${number(tried)} records were tried and ${number(kept)} kept, for ${number(tokens)} tokens`;
      const remedy = `${this.#command('approve', call)} goes on with what was kept, ${this.#command('set-budget', call, ` --${limit} N`)} with more, ${this.#command('give-up', call)} ends the experiment as failed`;
      await this.#awaitAnswer(call, { kind: 'budget', reason, remedy });
      await this.#untilAdmitted(call);
    }
    return this.#approved.has(call.path);
  }

  unpolled({ path }: StepCall, pool: string | null): void {
    if (pool === null) this.#unpolled.delete(path);
    else this.#unpolled.set(path, pool);
    this.#updateWaiting(path);
  }
  other({ path }: StepCall, who: string | null): void {
    if (who === null) this.#others.delete(path);
    else this.#others.set(path, who);
    this.#updateWaiting(path);
  }
  /** Why the record cannot be written; null: it can. */
  unrecorded(why: Cause | null): void {
    this.#unrecorded = why;
    this.publish();
  }

  leaseLost({ path }: StepCall, of: number, { type, message }: Cause): void {
    this.#lost.add(`One of the ${of} leases of ${path} is lost for good, and the step goes on with the others: ${type}: ${message}`);
    this.publish();
  }

  /** Resolves when nothing is short, or a person said go on. */
  async gate(gate: Gate, of: AnyRef): Promise<void> {
    const { path, round, short } = gate;
    if (short === null || this.#approved.has(path)) return;
    const from = this.#steps.giving(of);
    const ways = [
      `look at its records with ${this.#command('show', from)}, at what was dropped with ${this.#command('show', from, ' --dropped all')}`,
      `${this.#command('approve', gate)} goes on with what there is`,
      ...(round === null ? [] : [`${this.#command('reject', gate)} ends the experiment with what it had before round ${round}`]),
      `${this.#command('give-up', gate)} ends it as failed`,
    ];
    await this.#awaitAnswer(gate, { kind: 'gate', reason: `the gate ${short}`, remedy: ways.join('; ') });
  }

  /** Waits for a word; throws where it is one that does not let this go on. */
  async #awaitAnswer(at: StepLocation, why: AttentionReason): Promise<void> {
    const answer = await this.#standAtAttention(at, why, async (waiting) => {
      await condition(() => waiting.answer !== undefined || this.#leaving || this.#isUndone(at.round));
      return waiting.answer;
    });
    if (this.#isUndone(at.round)) throw new RestartRecipe();
    if (answer === undefined) {
      if (why.kind !== 'gate') this.#stood.set(at.path, why); // a gate is asked again by itself
      throw new RestartRecipe();
    }
    if (answer === 'retry-step' && (await this.takeUp(this.#mended))) {
      this.#anew = true;
      this.leave();
      this.#interrupt(() => true);
      throw new RestartRecipe();
    }
    if (answer !== 'give-up') return;
    this.#steps.failed(at.path);
    throw ApplicationFailure.nonRetryable(`${at.path} was given up: ${why.reason}`, GIVEN_UP);
  }

  /** Waits for what `end` waits for, and says why. */
  async #standAtAttention<T>({ path, round }: StepLocation, why: AttentionReason, end: (waiting: WaitingStep) => Promise<T>): Promise<T> {
    const waiting: WaitingStep = { path, round, ...why };
    this.#waiting.set(path, waiting);
    this.#updateWaiting(path);
    this.onAttention();
    try {
      return await end(waiting);
    } finally {
      this.#waiting.delete(path);
      this.#steps.touch(path);
      this.publish();
      this.onAttention();
    }
  }

  async beginRound(number: number): Promise<boolean> {
    await condition(() => !this.#paused);
    if (this.#isUndone(number)) return false;
    this.#round = number;
    this.publish();
    return true;
  }

  /** A pause is over, this round takes place, and so does this run. */
  async #untilAdmitted({ path, round }: StepCall): Promise<void> {
    const work = this.#working.get(path);
    if (work) work.held = this.#paused;
    await condition(() => !this.#paused || this.#leaving || this.#isUndone(round));
    if (work) work.held = false;
    if (this.#leaving || this.#isUndone(round)) throw new RestartRecipe();
  }
  /** Behind the last round there is to be. */
  #isUndone = (round: number | null): boolean => round !== null && this.#stopAfter !== null && round > this.#stopAfter;

  opened(call: StepCall, stepKey: string): void {
    this.#set(call, { stepKey });
  }
  /** `recorded`: the store has it so. */
  done(call: StepCall, { result, stepKey, cached }: LedgerEntry, recorded = false): void {
    this.#steps.set(call, { state: 'completed', stepKey, cached, result }, recorded);
    this.publish();
  }
  #set(call: StepCall, now: Partial<Step>): void {
    this.#steps.set(call, now);
    this.publish();
  }

  end(state: 'completed' | 'failed' | 'cancelled', result: Result | null, error?: unknown): void {
    this.#ended = { state, result, failure: state === 'failed' ? causeOf(error).message : null };
    this.publish();
  }

  // ───────────────────────────────────────── what there is to see ─────────────────────────────────────────

  /** What a person has changed the configuration to; the next run has it. */
  get mended(): EditedConfig | undefined {
    return this.#mended;
  }
  get steps(): StepTable {
    return this.#steps;
  }
  get config(): BoundConfig {
    return this.#input.config;
  }
  get paused(): boolean {
    return this.#paused;
  }
  get round(): number | null {
    return this.#round;
  }
  get waiting(): readonly Attention[] {
    return [...this.#waiting.values()];
  }
  get maps(): readonly string[] {
    return this.#steps.maps;
  }
  roundOf(path: string): number | null {
    return this.#waiting.get(path)?.round ?? null;
  }
  budgetOf({ path, inputs }: StepCall): Budget {
    return { ...(inputs['budget'] as Budget | undefined), ...this.#budgets.get(path) };
  }

  /** With all steps, or those of some paths. */
  view(paths?: ReadonlySet<string>): Pick<ExperimentRecord, 'state' | 'round' | 'steps' | 'attention' | 'notices' | 'result' | 'failure'> {
    const steps = paths ? this.#steps.all.filter(({ path }) => paths.has(path)) : this.#steps.all;
    return {
      state: this.#state,
      round: this.#round,
      steps: steps.map((step) => {
        const computedBy = this.#others.get(step.path);
        return this.#waiting.has(step.path) ? { ...step, state: 'attention' } : computedBy === undefined ? step : { ...step, computedBy };
      }),
      attention: [...this.waiting.map(({ path, kind, reason, remedy }) => ({ path, kind, reason, remedy })), ...this.#trouble],
      notices: [
        ...[...this.#rejected].map((path) => `${path} was rejected, and its round undone.`),
        ...this.#upgraded,
        ...this.#lost,
        ...[...Map.groupBy(this.#unpolled, ([, pool]) => pool)].map(
          ([pool, steps]) =>
            `No worker polls the pool ${pool}, which ${steps.map(([path]) => path).join(' and ')} waits for: \`backspin up --pool ${pool}=...\` starts one where its devices are.`,
        ),
      ],
      result: this.#ended?.result ?? null,
      failure: this.#ended?.failure ?? null,
    };
  }
  get #state(): ExperimentRecord['state'] {
    if (this.#ended) return this.#ended.state;
    if (this.#paused) return 'paused';
    return this.#waiting.size > 0 || this.#unrecorded ? 'attention' : 'running';
  }
  get #trouble(): readonly Attention[] {
    if (!this.#unrecorded) return [];
    const { type, message } = this.#unrecorded;
    const reason = `the state of the experiment cannot be written to the store: ${type}: ${message}`;
    return [{ path: 'record', kind: 'space', reason, remedy: 'mend the cause; it is written once it can be, and steps go on meanwhile' }];
  }
  carried(): Omit<Carried, 'ledger' | 'decisions' | 'healed'> {
    const { mended: _, ...said } = this.#controlState;
    return { ...said, stood: this.#anew ? {} : Object.fromEntries(this.#stood) };
  }
  get #controlState(): ControlMemo {
    return {
      approved: [...this.#approved],
      rejected: [...this.#rejected],
      budgets: Object.fromEntries(this.#budgets),
      lost: [...this.#lost],
      paused: this.#paused,
      stopAfter: this.#stopAfter,
      ...(this.#upgraded.length > 0 && { upgraded: this.#upgraded }),
      ...(this.#mended && { mended: this.#mended }),
    };
  }
  #command = (verb: string, { path }: Pick<StepLocation, 'path'>, more = ''): string =>
    `\`backspin ${verb} ${this.#input.config.name} ${path}${more}\``;

  publish(): void {
    this.#changed = true;
  }
  /** Shows the state in the Temporal UI: a live table, a memo and search attributes when they change. Once for all that happens at one moment:
   *  a run from the top comes by every step. */
  async #show(): Promise<never> {
    for (;;) {
      await condition(() => this.#changed);
      this.#changed = false;
      setCurrentDetails(details(this.#input.config, this.view()));
      const memo = canonical(this.#controlState);
      if (memo !== this.#memo) upsertMemo({ [CONTROL_MEMO]: this.#controlState });
      this.#memo = memo;
      const [state, round] = [this.#state, this.#round];
      if (`${state}/${round}` === this.#published) continue;
      this.#published = `${state}/${round}`;
      upsertSearchAttributes([{ key: stateKey, value: state }, ...(round === null ? [] : [{ key: roundKey, value: round }])]);
    }
  }
}

const initialState: ControlState = { approved: [], rejected: [], budgets: {}, lost: [], paused: false, stopAfter: null };
const number = (n: number): string => n.toLocaleString('en-US');
