/** The steps of an experiment that have begun, as people see them, and which of them the record lacks. */
import { fingerprintOf, refsIn, type AnyRef, type StepCall } from '../schemas/call.ts';
import type { Step } from '../schemas/experiment.ts';

/** Most steps in one write of the record: a third of a megabyte. */
const WRITTEN = 500;

export class StepTable {
  readonly #byPath = new Map<string, Step>();
  /** By path, the write of the record that holds, or will hold, the present state of the step; none: an earlier run has written it. */
  readonly #writing = new Map<string, number>();
  /** Writes that have begun, and the last one that is in the store. */
  #begun = 0;
  #written = 0;

  get all(): readonly Step[] {
    return [...this.#byPath.values()];
  }
  /** Paths of the maps that have begun and not ended. */
  get maps(): readonly string[] {
    return this.all.filter(({ kind, state }) => kind === 'map' && state === 'running').map(({ path }) => path);
  }
  /** The last step that gave an artifact. */
  giving({ digest }: AnyRef): Step {
    return this.all.findLast(({ result }) => refsIn(result).some((ref) => ref.digest === digest))!;
  }

  /** Paths of the steps that have changed since that write. */
  since(count: number): ReadonlySet<string> {
    return new Set(this.#writing.entries().flatMap(([path, writing]) => (writing > count ? [path] : [])));
  }
  get unwritten(): boolean {
    return this.since(this.#written).size > 0;
  }
  /** Begins a write: returns the first unwritten steps, and whether they are the last ones. */
  write(): { readonly count: number; readonly paths: ReadonlySet<string>; readonly last: boolean } {
    const count = ++this.#begun;
    const paths = [...this.since(this.#written)];
    for (const path of paths.slice(0, WRITTEN)) this.#writing.set(path, count);
    for (const path of paths.slice(WRITTEN)) this.touch(path);
    return { count, paths: new Set(paths.slice(0, WRITTEN)), last: paths.length <= WRITTEN };
  }
  wrote(count: number): void {
    this.#written = count;
  }
  /** The next write includes the step. */
  touch(path: string): void {
    if (this.#byPath.has(path)) this.#writing.set(path, this.#begun + 1);
  }
  touchAll(): void {
    for (const path of this.#byPath.keys()) this.touch(path);
  }
  /** Finished steps that are not `known` any more must run again. */
  forget(known: (fingerprint: string) => boolean): void {
    for (const [path, step] of this.#byPath) {
      if (step.state !== 'completed' || known(step.fingerprint!)) continue;
      this.#byPath.set(path, { ...step, state: 'running', result: null });
      this.touch(path);
    }
  }

  /** `recorded`: the record in the store holds this state already. */
  set(call: StepCall, now: Partial<Step>, recorded = false): void {
    const { path, arm, round, label, verb, operation } = call;
    const before = this.#byPath.get(path) ?? {
      path,
      arm,
      round,
      name: label,
      kind: verb,
      operation: operation,
      state: 'running',
      stepKey: null,
      cached: false,
      result: null,
      fingerprint: fingerprintOf(call),
    };
    this.#byPath.set(path, { ...before, ...now });
    if (!recorded) this.touch(path);
  }
  /** Does nothing for the path of a gate. */
  failed(path: string): void {
    const step = this.#byPath.get(path);
    if (step) this.#byPath.set(path, { ...step, state: 'failed' });
    this.touch(path);
  }
}
