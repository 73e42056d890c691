/** What a person sees of an experiment and says to it: steps, rounds, pause, attention, and the table in the Temporal UI. */
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowFailure,
  condition,
  isCancellation,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { Call, Result } from '../recipe/call.ts';
import type { Gate } from '../recipe/run.ts';
import type { Attention, ExperimentRecord, LedgerEntry, Step } from '../schemas/experiment.ts';
import { details } from './details.ts';
import * as messages from './messages.ts';

const stateKey = defineSearchAttributeKey('BackspinState', 'KEYWORD');
const roundKey = defineSearchAttributeKey('BackspinRound', 'INT');
type Answer = 'approve' | 'retry' | 'give-up';

export class Control {
  onAttention: () => void = () => {};
  readonly #input: messages.ExperimentInput;
  readonly #steps = new Map<string, Step>();
  readonly #waiting = new Map<string, Attention & { answer?: Answer }>();
  readonly #working = new Map<CancellationScope, { interrupted: boolean }>();
  readonly #approved: Set<string>;
  #paused: boolean;
  #stopAfter: number | null;
  #round: number | null = null;
  #ended: { state: 'completed' | 'failed' | 'cancelled'; result: Result | null; failure: string | null } | undefined;
  #published = '';

  constructor(input: messages.ExperimentInput) {
    this.#input = input;
    this.#approved = new Set(input.carried?.approved);
    this.#paused = input.carried?.paused ?? false;
    this.#stopAfter = input.carried?.stopAfter ?? null;
    this.#handle();
  }

  #handle(): void {
    const answers = (update: typeof messages.approve, answer: Answer, kinds: readonly Attention['kind'][]) =>
      setHandler(
        update,
        ({ path }) => {
          const waiting = this.#find(path, kinds)!;
          if (answer === 'approve') this.#approved.add(waiting.path);
          waiting.answer = answer;
        },
        { validator: ({ path }) => void this.#find(path, kinds, answer) },
      );
    answers(messages.approve, 'approve', ['gate', 'budget']);
    answers(messages.retryStep, 'retry', ['step']);
    answers(messages.giveUp, 'give-up', ['gate', 'budget', 'step']);
    setHandler(
      messages.stopAfterRound,
      ({ round }) => {
        this.#stopAfter = round;
      },
      {
        validator: ({ round }) => {
          if (!(Number.isInteger(round) && round >= (this.#round ?? 0)))
            throw refusal(`The experiment is in round ${this.#round ?? 0}: name that round or a later one.`);
        },
      },
    );
    setHandler(messages.pause, () => {
      this.#paused = true;
      for (const [scope, work] of this.#working) {
        work.interrupted = true;
        scope.cancel();
      }
      this.publish();
    });
    setHandler(
      messages.resume,
      () => {
        this.#paused = false;
        this.publish();
      },
      {
        validator: () => {
          if (!this.#paused) throw refusal('The experiment is not paused.');
        },
      },
    );
  }

  #find(path: string | undefined, kinds: readonly Attention['kind'][], refuse?: Answer): (Attention & { answer?: Answer }) | undefined {
    const all = [...this.#waiting.values()].filter((one) => kinds.includes(one.kind));
    const found = path === undefined ? all : all.filter((one) => one.path === path || one.path.endsWith(`/${path}`));
    if (refuse && found.length !== 1) {
      const list = all.map((one) => one.path).join(', ');
      throw refusal(
        all.length === 0
          ? `Nothing waits that one could ${refuse}.`
          : found.length === 0
            ? `No step "${path}" waits. These do: ${list}.`
            : `Several steps wait; name one: ${list}.`,
      );
    }
    return found[0];
  }

  /** Carries a step out: held while paused, stood at attention when it failed for good, until a person says how to go on. */
  async through(call: Call, body: () => Promise<LedgerEntry>, heal: (type: string) => boolean): Promise<LedgerEntry> {
    for (;;) {
      this.#set(call, { state: 'running' });
      await condition(() => !this.#paused);
      const scope = new CancellationScope();
      const work = { interrupted: false };
      this.#working.set(scope, work);
      try {
        const entry = await scope.run(body);
        this.done(call, entry);
        return entry;
      } catch (error) {
        if (work.interrupted && !CancellationScope.current().consideredCancelled) continue;
        if (isCancellation(error)) {
          this.#set(call, { state: 'cancelled' });
          throw error;
        }
        const { type, message } = causeOf(error);
        if (heal(type)) throw new FromTheTop();
        this.#set(call, { state: 'attention' });
        const remedy = `mend the cause, then \`backspin retry-step ${this.#name} ${call.path}\`; or \`backspin give-up ${this.#name} ${call.path}\``;
        const answer = await this.#stand({ path: call.path, kind: 'step', reason: `${type}: ${message}`, remedy });
        if (answer === 'give-up') {
          this.#set(call, { state: 'failed' });
          throw ApplicationFailure.nonRetryable(`Step ${call.path} was given up: ${message}`, 'GivenUp');
        }
      } finally {
        this.#working.delete(scope);
      }
    }
  }

  async gate({ path, short }: Gate, record: () => Promise<void>): Promise<void> {
    if (short === null || this.#approved.has(path)) return;
    const remedy = `look at what was dropped with \`backspin show ${this.#name} STEP --dropped REASON\`, then \`backspin approve ${this.#name}\` to go on with what there is, or \`backspin give-up ${this.#name}\``;
    const answer = await this.#stand({ path, kind: 'gate', reason: `the gate ${short}`, remedy });
    if (answer === 'give-up') throw ApplicationFailure.nonRetryable(`The gate ${path} was given up: it ${short}.`, 'GivenUp');
    await record();
  }

  async #stand(attention: Attention): Promise<Answer> {
    const waiting: Attention & { answer?: Answer } = { ...attention };
    this.#waiting.set(attention.path, waiting);
    this.publish();
    this.onAttention();
    try {
      await condition(() => waiting.answer !== undefined);
    } finally {
      this.#waiting.delete(attention.path);
      this.publish();
    }
    return waiting.answer!;
  }

  async beginRound(number: number): Promise<boolean> {
    await condition(() => !this.#paused);
    if (this.#stopAfter !== null && number > this.#stopAfter) return false;
    this.#round = number;
    this.publish();
    return true;
  }

  opened(call: Call, stepKey: string): void {
    this.#set(call, { stepKey });
  }
  done(call: Call, { result, stepKey, memoised }: LedgerEntry): void {
    this.#set(call, { state: 'completed', stepKey, memoised, result });
  }
  #set(call: Call, now: Partial<Step>): void {
    const { path, arm, round, label, verb, what } = call;
    const before = this.#steps.get(path) ?? {
      path,
      arm,
      round,
      name: label,
      kind: verb,
      what,
      state: 'running',
      stepKey: null,
      memoised: false,
      result: null,
    };
    this.#steps.set(path, { ...before, ...now });
    this.publish();
  }

  end(state: 'completed' | 'failed' | 'cancelled', result: Result | null, error?: unknown): void {
    this.#ended = { state, result, failure: state === 'failed' ? causeOf(error).message : null };
    this.publish();
  }

  view(): Pick<ExperimentRecord, 'state' | 'round' | 'steps' | 'attention' | 'result' | 'failure'> {
    const state = this.#ended?.state ?? (this.#paused ? 'paused' : this.#waiting.size > 0 ? 'attention' : 'running');
    const attention = [...this.#waiting.values()].map(({ path, kind, reason, remedy }) => ({ path, kind, reason, remedy }));
    return {
      state,
      round: this.#round,
      steps: [...this.#steps.values()],
      attention,
      result: this.#ended?.result ?? null,
      failure: this.#ended?.failure ?? null,
    };
  }
  carried(): { approved: string[]; paused: boolean; stopAfter: number | null } {
    return { approved: [...this.#approved], paused: this.#paused, stopAfter: this.#stopAfter };
  }
  get #name(): string {
    return this.#input.config.name;
  }

  /** Shows the state in the Temporal UI: a live table, and search attributes when they change. */
  publish(): void {
    const view = this.view();
    setCurrentDetails(details(this.#input.config, view));
    const state = `${view.state}/${view.round}`;
    if (state === this.#published) return;
    this.#published = state;
    upsertSearchAttributes([{ key: stateKey, value: view.state }, ...(view.round === null ? [] : [{ key: roundKey, value: view.round }])]);
  }
}

/** The step is asked for again by the next run. */
export class FromTheTop extends Error {}

const refusal = (message: string) => ApplicationFailure.nonRetryable(message, 'Refused');

/** The error that an activity threw, under what Temporal wrapped around it. */
function causeOf(error: unknown): { type: string; message: string } {
  let inner = error;
  while ((inner instanceof ActivityFailure || inner instanceof ChildWorkflowFailure) && inner.cause) inner = inner.cause;
  const { name, message } = inner as Error;
  return { type: inner instanceof ApplicationFailure ? (inner.type ?? name) : name, message };
}
