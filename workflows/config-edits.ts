/** What a person mends while a step stands at attention: settings, and files that were read in. The next run begins with it. */
import { isCancellation, log } from '@temporalio/workflow';
import type { ImportedStep, StepContext } from '../schemas/steps.ts';
import { canonical, type StepCall } from '../schemas/call.ts';
import { contextOf, isImport } from '../recipe/inputs.ts';
import type { ExperimentInput, EditedConfig } from '../schemas/messages.ts';
import { stillPinned } from './pins.ts';

/** Gives those that are others by now. */
type Reread = (imported: readonly ImportedStep[], context: StepContext) => Promise<readonly ImportedStep[]>;

export class ConfigEdits {
  readonly #input: ExperimentInput;
  readonly #reread: Reread;
  /** Sources and models of this run, by fingerprint. */
  readonly #imports = new Map<string, StepCall>();
  #next: ExperimentInput;

  constructor(input: ExperimentInput, reread: Reread) {
    this.#input = input;
    this.#reread = reread;
    this.#next = input;
  }

  /** The input of the next run, but for what it carries. */
  get next(): ExperimentInput {
    return this.#next;
  }

  sees(call: StepCall, fingerprint: string): void {
    if (isImport(call)) this.#imports.set(fingerprint, call);
  }

  /** Which finished steps (by fingerprint) the next run may take from the ledger; undefined: nothing was mended. Where the context of all
   *  steps has changed only imports are taken, and the store knows which of the other results still hold. */
  async takeUp(
    { config, configDigest }: EditedConfig = this.#input,
    keyOf: (fingerprint: string) => string | undefined,
  ): Promise<((fingerprint: string) => boolean) | undefined> {
    const before = this.#input.config;
    const [then, now] = [before, config].map((one) => contextOf(one)) as [StepContext, StepContext];
    const read = [...this.#imports].flatMap(([fingerprint, call]) => {
      const stepKey = keyOf(fingerprint);
      return stepKey === undefined ? [] : [{ call, fingerprint, stepKey }];
    });
    const changed = await this.#changed(read, now);
    if (changed.size === 0 && config === before) return undefined;
    const fingerprints = new Set(read.filter(({ call }) => changed.has(call.path)).map(({ fingerprint }) => fingerprint));
    const pins = Object.entries(stillPinned(this.#input.pins, before, config)).filter(([path]) => !changed.has(path));
    this.#next = { ...this.#input, config, configDigest, pins: Object.fromEntries(pins) };
    const same = canonical(now) === canonical(then);
    return (fingerprint) => !fingerprints.has(fingerprint) && (same || this.#imports.has(fingerprint));
  }

  /** Their paths. What cannot be compared counts as it was. */
  async #changed(read: readonly ImportedStep[], now: StepContext): Promise<ReadonlySet<string>> {
    try {
      return new Set(
        (
          await this.#reread(
            read.map(({ call, stepKey }) => ({ call, stepKey })),
            now,
          )
        ).map(({ call }) => call.path),
      );
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('what was read in cannot be compared', { error: String(error) });
      return new Set();
    }
  }
}
