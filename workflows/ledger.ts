/** Results of finished steps and answers to questions. Every run hands the ledger to the next. */
import { isCancellation, log } from '@temporalio/workflow';
import type { RecordedSteps } from '../schemas/steps.ts';
import { refsIn, type StepCall, type ReportRef } from '../schemas/call.ts';
import type { LedgerEntry, RecordVersion } from '../schemas/experiment.ts';
import type { Carried, ExperimentInput } from '../schemas/messages.ts';

/** Most characters that a run carries to the next. The next run reads a larger ledger from the record in the store. */
const CARRIED = 2 ** 18;

export class Ledger {
  readonly steps: Record<string, LedgerEntry>;
  readonly decisions: Record<string, unknown>;
  readonly #healed: Set<string>;
  readonly #pins: ExperimentInput['pins'];
  /** Paths of the steps that were read from the store. */
  readonly #recorded = new Set<string>();
  /** Number of entries and answers that this run has added. */
  #added = 0;

  constructor({ carried, pins }: ExperimentInput) {
    this.steps = { ...carried?.ledger };
    this.decisions = { ...carried?.decisions };
    this.#healed = new Set(carried?.healed);
    this.#pins = pins;
  }

  /** Reads a ledger that was too large to carry, part by part. Each step that the record lacks is looked up again. */
  async load(read: (from: number) => Promise<RecordedSteps | null>): Promise<void> {
    for (let from: number | null = 0; from !== null;) {
      const part: RecordedSteps | null = await read(from).catch((error: unknown) => {
        if (isCancellation(error)) throw error;
        log.warn('what was done before cannot be read from the store', { error: String(error) });
        return null;
      });
      if (part === null) return;
      for (const { path, fingerprint, entry } of part.steps) {
        if (!entry.cached || !(fingerprint in this.steps)) this.steps[fingerprint] = entry;
        this.#recorded.add(path);
      }
      from = part.next;
    }
  }
  /** Whether the record in the store holds the step already. */
  isRecorded({ path }: StepCall): boolean {
    return this.#recorded.has(path);
  }

  get added(): number {
    return this.#added;
  }

  /** The result of this step in this experiment, or in the parent of a fork. */
  known(call: StepCall, fingerprint: string): LedgerEntry | undefined {
    const pin = this.#pins[call.path];
    const pinned = pin && pin.inputs.join() === [...new Set(refsIn(call.inputs).map((ref) => ref.digest))].sort().join();
    if (pinned && !(fingerprint in this.steps)) this.add(fingerprint, { ...pin.entry, cached: true });
    return this.steps[fingerprint];
  }
  add(fingerprint: string, entry: LedgerEntry): void {
    this.steps[fingerprint] = entry;
    this.#added++;
  }

  /** The earlier answer on these reports, or else the answer that `rule` gives now. New reports get a new answer. */
  decide(path: string, reports: Readonly<Record<string, ReportRef>>, rule: () => unknown): unknown {
    const digests = Object.keys(reports)
      .sort()
      .map((name) => reports[name]!.digest.slice(0, 16));
    const key = [path, ...digests].join(' ');
    if (!(key in this.decisions)) {
      this.decisions[key] = rule();
      this.#added++;
    }
    return this.decisions[key];
  }

  /** Forgets the steps that gave the inputs of this step, since one is missing in the store. False if that was tried before. */
  invalidateMissingInputs(call: StepCall, fingerprint: string): boolean {
    if (this.#healed.has(fingerprint)) return false;
    this.#healed.add(fingerprint);
    const wanted = new Set(refsIn(call.inputs).map((ref) => ref.digest));
    for (const [key, { result }] of Object.entries(this.steps))
      if (refsIn(result).some((ref) => wanted.has(ref.digest))) delete this.steps[key];
    return true;
  }

  /** Forgets all steps except those that are `kept`; the look-up in the store shows which of their results still hold. Also forgets all
   *  answers, since rules depend on settings. */
  forget(kept: (fingerprint: string) => boolean): void {
    for (const fingerprint of Object.keys(this.steps)) if (!kept(fingerprint)) delete this.steps[fingerprint];
    for (const question of Object.keys(this.decisions)) delete this.decisions[question];
  }

  get large(): boolean {
    return JSON.stringify(this.steps).length > CARRIED;
  }
  /** `recorded`: the version of the record that holds all steps. */
  carried(recorded?: RecordVersion): Pick<Carried, 'ledger' | 'recorded' | 'decisions' | 'healed'> {
    const healed = [...this.#healed];
    return { ledger: recorded ? {} : this.steps, ...(recorded && { recorded }), decisions: this.decisions, healed };
  }
}
