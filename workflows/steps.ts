/** The steps of an experiment that have begun, as people see them. */
import { refsIn, type AnyRef, type Call } from '../recipe/call.ts';
import type { Step } from '../schemas/experiment.ts';

export class Steps {
  readonly #byPath = new Map<string, Step>();

  get all(): readonly Step[] {
    return [...this.#byPath.values()];
  }
  /** Paths of the maps that have begun and not ended. */
  get maps(): readonly string[] {
    return this.all.filter(({ kind, state }) => kind === 'map' && state === 'running').map(({ path }) => path);
  }
  /** The last that gave an artifact. */
  giving({ digest }: AnyRef): Step {
    return this.all.findLast(({ result }) => refsIn(result).some((ref) => ref.digest === digest))!;
  }

  set(call: Call, now: Partial<Step>): void {
    const { path, arm, round, label, verb, what } = call;
    const before = this.#byPath.get(path) ?? {
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
    this.#byPath.set(path, { ...before, ...now });
  }
  /** A gate, which is none of them, is passed over. */
  failed(path: string): void {
    const step = this.#byPath.get(path);
    if (step) this.#byPath.set(path, { ...step, state: 'failed' });
  }
}
