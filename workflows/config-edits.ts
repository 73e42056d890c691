/** What a person edits while a step stands at attention: settings, and imported files. The next run begins with it. */
import { isCancellation, log } from '@temporalio/workflow';
import type { ImportedStep, StepContext } from '../schemas/steps.ts';
import { canonical, type StepCall } from '../schemas/call.ts';
import { contextOf, isImport } from '../recipe/inputs.ts';
import type { ExperimentInput, EditedConfig } from '../schemas/messages.ts';
import { queues } from '../schemas/names.ts';
import { data } from './options.ts';
import { stillPinned } from './pins.ts';

export class ConfigEdits {
  readonly #input: ExperimentInput;
  /** Sources and models of this run, by fingerprint. */
  readonly #imports = new Map<string, StepCall>();
  #next: ExperimentInput;

  constructor(input: ExperimentInput) {
    this.#input = input;
    this.#next = input;
  }

  /** The input of the next run, without `carried`. */
  get next(): ExperimentInput {
    return this.#next;
  }

  /** Call this for every step of this run. */
  noteImport(call: StepCall, fingerprint: string): void {
    if (isImport(call)) this.#imports.set(fingerprint, call);
  }

  /** Returns which finished steps (by fingerprint) the next run takes from the ledger; undefined: nothing was edited. If an edit changes the
   *  context of all steps, the next run takes only imports, and looks up in the store which other results still hold. */
  async apply(
    { config, configDigest }: EditedConfig = this.#input,
    keyOf: (fingerprint: string) => string | undefined,
  ): Promise<((fingerprint: string) => boolean) | undefined> {
    const before = this.#input.config;
    const [then, now] = [before, config].map((one) => contextOf(one)) as [StepContext, StepContext];
    const imports = [...this.#imports].flatMap(([fingerprint, call]) => {
      const stepKey = keyOf(fingerprint);
      return stepKey === undefined ? [] : [{ call, fingerprint, stepKey }];
    });
    const changed = await this.#changedPaths(imports, now);
    if (changed.size === 0 && config === before) return undefined;
    const fingerprints = new Set(imports.filter(({ call }) => changed.has(call.path)).map(({ fingerprint }) => fingerprint));
    const pins = Object.entries(stillPinned(this.#input.pins, before, config)).filter(([path]) => !changed.has(path));
    this.#next = { ...this.#input, config, configDigest, pins: Object.fromEntries(pins) };
    const same = canonical(now) === canonical(then);
    return (fingerprint) => !fingerprints.has(fingerprint) && (same || this.#imports.has(fingerprint));
  }

  /** Paths of the sources and models whose files, or settings in this context, have changed since their import. An import that cannot be
   *  compared counts as unchanged. */
  async #changedPaths(imports: readonly ImportedStep[], context: StepContext): Promise<ReadonlySet<string>> {
    const { store, config } = this.#input;
    const { changedImports } = data({
      id: 'reread',
      summary: 'files that were read in',
      queue: queues.data(store),
      experiment: config.name,
    });
    try {
      const changed = await changedImports(
        imports.map(({ call, stepKey }) => ({ call, stepKey })),
        context,
      );
      return new Set(changed.map(({ call }) => call.path));
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('imported files cannot be compared', { error: String(error) });
      return new Set();
    }
  }
}
