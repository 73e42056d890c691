/** Answers what the recipe asks for: from the ledger where it is known, else by performing the step. */
import { workflowInfo } from '@temporalio/workflow';
import { fingerprintOf, type DatasetRef, type ReportRef, type Result, type StepCall } from '../schemas/call.ts';
import type { Gate, StepEngine } from '../recipe/runtime.ts';
import type { Review } from '../schemas/messages.ts';
import type { ConfigEdits } from './config-edits.ts';
import { RestartRecipe } from './errors.ts';
import type { StepExecutor } from './executor.ts';
import type { Ledger } from './ledger.ts';
import type { Recorder } from './recorder.ts';
import type { RunningSteps } from './running-steps.ts';
import { never, type DrainLatch } from './scopes.ts';
import type { StepSupervisor } from './step-supervisor.ts';

/** A run with more than this many times `historyLimit` events lets no step begin, and so makes itself a quiet moment to continue as new. */
const MOST = 2.4;

interface EngineParts {
  readonly ledger: Ledger;
  readonly edits: ConfigEdits;
  readonly recorder: Recorder;
  readonly running: RunningSteps;
  readonly supervisor: StepSupervisor;
  readonly executor: StepExecutor;
  readonly latch: DrainLatch;
  readonly historyLimit: number;
}

export class LedgerEngine implements StepEngine {
  readonly #parts: EngineParts;
  readonly #failure = Promise.withResolvers<never>();
  /** Events of this run when it met the first step that no run before it had done. */
  #replayed: number | undefined;
  /** Size of the ledger's news when the record was last written. */
  #recorded = 0;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** Rejects when the experiment fails. */
  get failure(): Promise<never> {
    return this.#failure.promise;
  }

  async perform(call: StepCall): Promise<Result> {
    const { ledger, edits, supervisor, executor, latch } = this.#parts;
    const fingerprint = fingerprintOf(call);
    edits.noteImport(call, fingerprint);
    const known = ledger.known(call, fingerprint);
    if (known) {
      supervisor.done(call, known, ledger.isRecorded(call));
      return known.result;
    }
    if (this.#isLong()) this.#close();
    try {
      const handlers = {
        perform: () => executor.perform(call),
        room: () => executor.room(call),
        invalidateMissingInputs: (type: string) => type === 'ArtifactMissing' && ledger.invalidateMissingInputs(call, fingerprint),
      };
      const entry = await latch.through(() => supervisor.carryOut(call, handlers));
      ledger.add(fingerprint, entry);
      return entry.result;
    } catch (error) {
      return this.#end(error);
    }
  }

  shared(call: StepCall, result: Promise<Result>): void {
    const { ledger, supervisor } = this.#parts;
    result.then(
      () => supervisor.done(call, { ...ledger.steps[fingerprintOf(call)]!, cached: true }, ledger.isRecorded(call)),
      () => {}, // the step that computes it reports the error
    );
  }

  async decide(path: string, reports: Readonly<Record<string, ReportRef>>, rule: () => unknown): Promise<unknown> {
    try {
      return this.#parts.ledger.decide(path, reports, rule);
    } catch (error) {
      return this.#end(error);
    }
  }

  gate(of: DatasetRef | ReportRef, gate: Gate): Promise<Review | void> {
    return this.#parts.supervisor.gate(gate, of).catch(this.#end);
  }

  async round(number: number, moment: 'begin' | 'end'): Promise<boolean> {
    const { ledger, recorder, supervisor } = this.#parts;
    if (moment === 'begin') return supervisor.beginRound(number).catch(this.#end);
    if (ledger.added > this.#recorded) void recorder.record(); // else the store has it, and perhaps more
    this.#recorded = ledger.added;
    return true;
  }

  /** Where this run is about to end, an input is made again, or a person undid the round, the next run asks again. The recipe never hears
   *  of a failure: if it does not await the step that failed, nobody would handle the rejection, and the workflow task would fail for ever. */
  #end = (error: unknown): Promise<never> => {
    if (error instanceof RestartRecipe) this.#close();
    else this.#failure.reject(error);
    return never;
  };

  #close(): void {
    this.#parts.latch.close();
    this.#parts.running.leave();
  }

  /** Whether the history is so long that the run should continue as new. */
  #isLong(): boolean {
    const { ledger, running, historyLimit } = this.#parts;
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    const events = historyLength - (this.#replayed ??= historyLength);
    if (ledger.added === 0) return false; // the next run would come no further
    return events > MOST * historyLimit || (running.idle && (events > historyLimit || continueAsNewSuggested));
  }
}
