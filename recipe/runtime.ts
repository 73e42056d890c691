/**
 * The verbs, once for all three `Run`s: they settle their inputs, name their step and hand a call to an engine. Temporal, memory
 * and plan differ in the engine alone.
 */
import type { Review } from '../schemas/messages.ts';
import type { Chosen, Label, MapOptions, Metrics, Reduction, Report, Round, Run, MaybePromise } from './api.ts';
import {
  fingerprintOf,
  hash,
  settle,
  type StepCall,
  type DatasetRef,
  type ReportRef,
  type Result,
  type StepKind,
} from '../schemas/call.ts';

export interface Gate {
  readonly path: string;
  readonly round: number | null;
  /** What is missing, as the end of a sentence; null: nothing. */
  readonly short: string | null;
}
interface Wanted {
  readonly rows?: number;
  readonly share?: number;
  readonly atLeast?: { readonly [name: string]: number | undefined };
}

function shortOf(of: DatasetRef | ReportRef, { rows, share, atLeast = {} }: Wanted): string | null {
  if (of.kind === 'dataset') {
    if (rows !== undefined && of.rows < rows) return `wants at least ${rows} records and has ${of.rows}`;
    if (share !== undefined && of.share !== undefined && of.share < share)
      return `wants a share of at least ${share} kept and has ${of.share.toPrecision(3)}`;
    return null;
  }
  const low = Object.entries(atLeast).filter(([name, least]) => least !== undefined && !((of.metrics[name] ?? NaN) >= least));
  return low.length === 0
    ? null
    : low.map(([name, least]) => `wants ${name} of at least ${least} and has ${of.metrics[name] ?? 'none'}`).join(', ');
}

export interface StepEngine {
  /** Performs a step, or returns what it gave before. */
  perform(call: StepCall): Promise<Result>;
  /** The same step under one more name: an equal call was performed, or is in flight. */
  shared(call: StepCall, result: Promise<Result>): void;
  /** The answer to a question: the one given before, or `rule` applied now. */
  decide(path: string, reports: Readonly<Record<string, ReportRef>>, rule: () => unknown, assume: unknown): Promise<unknown>;
  /** Resolves when nothing is short, or a person said go on: with a review of the records, if there is one. */
  gate(of: DatasetRef | ReportRef, gate: Gate): Promise<Review | void>;
  /** Called before each round and after its steps have ended; false ends the loop. */
  round(number: number, moment: 'begin' | 'end'): Promise<boolean>;
}

export class RecipeError extends Error {
  override readonly name = 'RecipeError';
}

interface Scope {
  readonly path: readonly string[];
  readonly arm: string | null;
  readonly round: number | null;
  /** What the end of this round waits for. */
  readonly pending: Set<Promise<unknown>>;
}

export class RecipeRuntime {
  readonly #engine: StepEngine;
  /** Joined before the experiment ends, evaluations too. */
  readonly #everything = new Set<Promise<unknown>>();
  readonly #flights = new Map<string, Promise<Result>>();
  /** path -> fingerprint: two different steps may not have one name. */
  readonly #names = new Map<string, string>();
  /** path -> how many gates or questions stand there; and for `step PATH`, how many steps were asked for under this name. */
  readonly #counts = new Map<string, number>();

  constructor(engine: StepEngine) {
    this.#engine = engine;
  }

  get run(): Run {
    return this.#make({ path: [], arm: null, round: null, pending: new Set() });
  }

  /** Waits for every step that was asked for; throws the first failure. */
  async joined(): Promise<void> {
    for (const promise of this.#everything) await promise;
  }

  /** Does one step under a name. Single flight: an equal call in flight, or done in this run, is the same promise. */
  async step(
    scope: Pick<Scope, 'path' | 'arm' | 'round'>,
    verb: StepKind,
    operation: string,
    label: string,
    inputs: object,
  ): Promise<Result> {
    const path = [...scope.path, label].join('/');
    const first = this.#count(`step ${path}`) === 1;
    const settled = (await settle(inputs)) as StepCall['inputs'];
    const { arm, round } = scope;
    const unnamed = { verb, operation, label, path, arm, round, inputs: settled };
    const key = fingerprintOf(unnamed);
    const end = first || this.#names.get(path) === key ? '' : this.#ending(path, key);
    const call: StepCall = { ...unnamed, label: `${label}${end}`, path: `${path}${end}` };
    const owner = this.#names.get(call.path);
    this.#names.set(call.path, key);
    const flight = this.#flights.get(key);
    if (flight) {
      if (owner === undefined) this.#engine.shared(call, flight);
      return flight;
    }
    const result = this.#engine.perform(call);
    this.#flights.set(key, result);
    return result;
  }

  /** What tells a step apart from the first that its recipe asked for under the same name: by what it is, since which of them is ready first
   *  may be another in the next run, and people approve and give budgets by name. */
  #ending(path: string, key: string): string {
    const digest = hash(key);
    const free = (end: string) => [undefined, key].includes(this.#names.get(`${path}${end}`));
    return [4, 8, digest.length].map((length) => `~${digest.slice(0, length)}`).find(free)!;
  }

  #own<T>(scope: Scope, promise: Promise<T>, evaluation = false): Promise<T> {
    promise.catch(() => {}); // it is joined below, whoever else awaits it
    this.#everything.add(promise);
    if (!evaluation) scope.pending.add(promise);
    return promise;
  }

  #make(scope: Scope): Run {
    const verb = (kind: StepKind, operation: string, label: string, inputs: object) =>
      this.#own(scope, this.step(scope, kind, operation, label, inputs), kind === 'evaluate') as never;
    return {
      map: (op, over, ...[options]) => {
        const { as, ...rest } = (options ?? {}) as Label & MapOptions & object;
        return verb('map', op.id, as ?? short(op.id), { over, ...rest });
      },
      reduce: (reduction: Reduction<never>, label) =>
        verb('reduce', reduction.id, label?.as ?? short(reduction.id), { inputs: reduction.inputs, params: reduction.params }),
      train: (label, { template, ...spec }) => verb('train', spec.objective, label, { ...spec, template: template?.id }),
      evaluate: (of: unknown, suite: { id: string } & Partial<Chosen<object>>, options?: Label) => {
        const { as, ...rest } = options ?? {};
        return verb('evaluate', suite.id, as ?? short(suite.id), { of, ...chosenIn(suite), ...rest });
      },
      decide: (question, reports, rule, assume) => this.#own(scope, this.#decide(scope, question, reports, rule as never, assume)) as never,
      gate: (of: unknown, need: Wanted, label?: Label) => this.#own(scope, this.#gate(scope, of, need, label?.as ?? 'gate')) as never,
      arm: (name) => this.#make({ ...scope, path: [...scope.path, name], arm: scope.arm === null ? name : `${scope.arm}/${name}` }),
      rounds: (limit) => this.#rounds(scope, limit),
    };
  }

  async #decide(
    scope: Scope,
    question: string,
    reports: Record<string, MaybePromise<Report<Metrics>>>,
    rule: (values: object) => unknown,
    assume: unknown,
  ) {
    const path = this.#numbered(scope, question);
    const settled = (await settle(reports)) as Record<string, ReportRef>;
    for (const [name, report] of Object.entries(settled)) {
      if (report.oracle)
        throw new RecipeError(`"${question}" reads the report "${name}" of an oracle suite: the truth may be shown, never decided upon`);
    }
    const values = Object.fromEntries(Object.entries(settled).map(([name, report]) => [name, report.metrics]));
    return this.#engine.decide(path, settled, () => plain(rule(values)), assume);
  }

  async #gate(scope: Scope, of: unknown, need: Wanted, name: string): Promise<unknown> {
    const path = this.#numbered(scope, name);
    const ref = (await of) as DatasetRef | ReportRef;
    if (ref.kind === 'report' && ref.oracle)
      throw new RecipeError(`${path} reads a report of an oracle suite: the truth may be shown, never decided upon`);
    const review = await this.#engine.gate(ref, { path, round: scope.round, short: shortOf(ref, need) });
    if (!review) return ref;
    const { verdicts, rejected } = review;
    return this.step(scope, 'reduce', 'std.review', `${path.split('/').at(-1)}-reviewed`, {
      inputs: { of: ref, verdicts },
      params: { rejected },
    });
  }

  /** The name, and from the second of a scope on `name~2`: each gate is approved, and each question answered, by itself. */
  #numbered(scope: Scope, name: string): string {
    const path = [...scope.path, name].join('/');
    const count = this.#count(path);
    return count === 1 ? path : `${path}~${count}`;
  }
  #count(what: string): number {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    return count;
  }

  async *#rounds(scope: Scope, limit: number): AsyncIterable<Round> {
    for (let number = 1; number <= limit; number++) {
      if (!(await this.#engine.round(number, 'begin'))) return;
      const pending = new Set<Promise<unknown>>();
      const run = this.#make({ ...scope, path: [...scope.path, `r${number}`], round: number, pending });
      try {
        yield Object.assign(run, { number, last: number === limit });
      } finally {
        await Promise.allSettled(pending); // a round ends when its steps have, on break too
      }
      for (const promise of pending) await promise;
      if (!(await this.#engine.round(number, 'end'))) return;
    }
  }
}

/** Of a suite that an experiment file chose: its parameters, who is in its roles, and its items. */
const chosenIn = ({ params, with: cast, data }: Partial<Chosen<object>>) => ({
  ...(params && { params }),
  ...(cast && { with: cast }),
  ...(data && { items: data }),
});

/** What is left of an answer in a ledger. */
const plain = (answer: unknown): unknown => (answer === undefined ? undefined : JSON.parse(JSON.stringify(answer)));

const short = (id: string) =>
  id
    .split('>')
    .map((part) => part.slice(part.indexOf('.') + 1))
    .join('>');
