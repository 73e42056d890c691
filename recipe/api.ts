/**
 * The interface that a recipe is written against. Types only, except for `operators` and `chain`, so a workflow bundle contains neither
 * zod nor axios. Everything a recipe holds is a reference of under 1 KB.
 */
import type { Budget } from '../schemas/steps.ts';
import type { DataSuiteDef, FilterDef, Operator, ReducerDef, SuiteDef, TemplateDef } from './define.ts';
import type { Objective, Objectives, Template, Training } from './training.ts';
import type { Dataset, Metrics, Model, ModelKind, Outputs, Params, Ref, Report, MaybePromise } from './types.ts';

export type { Budget };
export * from './training.ts';
export * from './types.ts';

declare const of: unique symbol;

// ───────────────────────────────────────────── what runs inside a step ─────────────────────────────────────────────

/** Work on one record, named here and run elsewhere. `Roles` are the names under which it addresses models; `P` are its parameters. */
export interface Op<in In, out Out, out Roles extends string = never, in P extends Params = {}> {
  readonly id: string;
  readonly [of]?: (record: In, params: P) => { out: Out; roles: Roles };
}

/** Work on whole datasets: pure, seeded, on CPU. With a `Model` among its inputs it runs as a subprocess on the training pool. */
export type Reducer<I, T extends Outputs, P extends Params = {}> = (inputs: I, ...params: Last<P>) => Reduction<T>;
/** A reducer that drops records and changes none. It accepts any record that has the fields of `Least`, and returns the same type. */
export type Filter<Least, P extends Params = {}> = <T extends Least>(
  inputs: { readonly of: MaybePromise<Dataset<T>> },
  ...params: Last<P>
) => Reduction<Dataset<T>>;
export interface Reduction<out T extends Outputs> {
  readonly id: string;
  readonly inputs: unknown;
  readonly params: unknown;
  readonly [of]?: T;
}

/** A benchmark: what to ask a model of kind K, and the numbers that come out. */
export interface Suite<in K extends ModelKind, out M extends Metrics, out Roles extends string = never, in P extends Params = {}> {
  readonly id: string;
  readonly [of]?: (model: K, params: P) => { metrics: M; roles: Roles };
}

/** A benchmark of a dataset: the numbers that come out. */
export interface DataSuite<in T, out M extends Metrics, in P extends Params = {}> {
  readonly id: string;
  readonly [of]?: (data: T, params: P) => M;
}

/** A suite that the experiment file chose, with its parameters, the models in its roles, and the dataset with its items: `evaluate` takes
 *  all of them from it. */
export type Chosen<S> = S & {
  readonly params: object;
  readonly with?: { readonly [role: string]: Model };
  readonly data?: Dataset<unknown>;
};

/**
 * Names the operators, reducers, templates and suites of a recipe by type alone, so that the recipe imports none of their code.
 *
 * @param namespace the name of their folder in the registry of `operators/`
 * @example
 * const { judge } = operators<typeof import('../../operators/humpback/index.ts')>('humpback');
 */
export function operators<M>(namespace: string): { readonly [K in keyof M]: Named<M[K]> } {
  return new Proxy(
    {},
    {
      get: (_, name) => {
        const id = `${namespace}.${String(name)}`;
        return Object.assign((inputs: unknown, params?: unknown) => ({ id, inputs, params }), { id });
      },
    },
  ) as never;
}
type Named<X> =
  X extends Operator<infer In, infer Out, infer R, infer P>
    ? Op<In, Out, R, P>
    : X extends TemplateDef<infer T, infer Row>
      ? Template<T, Row>
      : X extends FilterDef<infer Least, infer P>
        ? Filter<Least, P>
        : X extends ReducerDef<infer I, infer T, infer P>
          ? Reducer<I, T, P>
          : X extends SuiteDef<infer K, infer M, infer R, infer P>
            ? Suite<K, M, R, P>
            : X extends DataSuiteDef<infer T, infer M, infer P>
              ? DataSuite<T, M, P>
              : X;

/**
 * One step through which each record streams, operator after operator; at most four. The store keeps the result of every prefix, so a
 * change of the last operator sends no request of the first one again.
 *
 * @example
 * round.map(chain(judge, withinLength), pool, { with: { scorer: forward }, params })
 */
export function chain<A, B, C, R1 extends string, R2 extends string, P1 extends Params, P2 extends Params>(
  a: Op<A, B, R1, P1>,
  b: Op<B, C, R2, P2>,
): Op<A, C, R1 | R2, P1 & P2>;
export function chain<
  A,
  B,
  C,
  D,
  R1 extends string,
  R2 extends string,
  R3 extends string,
  P1 extends Params,
  P2 extends Params,
  P3 extends Params,
>(a: Op<A, B, R1, P1>, b: Op<B, C, R2, P2>, c: Op<C, D, R3, P3>): Op<A, D, R1 | R2 | R3, P1 & P2 & P3>;
export function chain<
  A,
  B,
  C,
  D,
  E,
  R1 extends string,
  R2 extends string,
  R3 extends string,
  R4 extends string,
  P1 extends Params,
  P2 extends Params,
  P3 extends Params,
  P4 extends Params,
>(a: Op<A, B, R1, P1>, b: Op<B, C, R2, P2>, c: Op<C, D, R3, P3>, d: Op<D, E, R4, P4>): Op<A, E, R1 | R2 | R3 | R4, P1 & P2 & P3 & P4>;
export function chain(...ops: Op<never, unknown, string, never>[]): unknown {
  return { id: ops.map((op) => op.id).join('>') };
}

// ───────────────────────────────────────────── the verbs ─────────────────────────────────────────────

/** The last argument: optional if no parameter is required. */
type Last<O> = {} extends O ? [options?: Given<O>] : [options: Given<O>];
type Given<P> = { readonly [K in keyof P]: P[K] extends Ref | undefined ? MaybePromise<P[K]> : P[K] };
type Cast<R extends string> = [R] extends [never]
  ? { readonly with?: never }
  : { readonly with: { readonly [K in R]: MaybePromise<Model<K extends 'tagger' ? 'tagger' : 'lm'>> } };
type Take<P> = {} extends P ? { readonly params?: Given<P> } : { readonly params: Given<P> };

export interface MapOptions {
  /** Stop at this many kept records: the shortest prefix in record order that holds them, so a resumed run keeps the same ones.
   *  @default none: map all records */
  readonly until?: { readonly kept: number };
  /** When one of these is spent, the step waits for a person, who decides: continue with the kept records, with a larger budget, or not
   *  at all. Part of the step's key only if it cut the map short.
   *  @default none */
  readonly budget?: Budget;
  /** Stop when this share (0 to 1) of the records is kept or dropped; the others are dropped as `straggler`.
   *  @default 1 */
  readonly quorum?: number;
}
export interface Label {
  /** Name of the step in the UI and in commands; never part of its key.
   *  @default the operator's name; for a gate, `gate` */
  readonly as?: string;
}

/** The methods of a recipe. Each starts a step and returns at once; inputs may be promises. */
export interface Run {
  /** Applies an operator, or a chain, to every record of `over`. `with` assigns a model to each of its roles. Returns the kept records. */
  map<In, Out, R extends string, P extends Params>(
    op: Op<In, Out, R, P>,
    over: MaybePromise<Dataset<NoInfer<In>>>,
    ...options: LastOf<Cast<R> & Take<P> & MapOptions & Label>
  ): Promise<Dataset<Out>>;

  /** Runs a reducer over whole datasets: select, mix, join, cluster, measure. */
  reduce<T extends Outputs>(reduction: Reduction<T>, label?: Label): Promise<T>;

  /** Trains `from` (the base, or the model of an earlier round) on `data`. An equal training of another round or arm runs once; for an
   *  independent one set `repeat`. */
  train<O extends Objective, T>(label: string, spec: Training<O, T>): Promise<Model<Objectives[O]['to']>>;

  /** Runs a suite on a model. A round does not wait for it to end; the experiment does. */
  evaluate<K extends ModelKind, M extends Metrics, R extends string, P extends Params>(
    model: MaybePromise<Model<K>>,
    suite: Suite<NoInfer<K>, M, R, P>,
    ...options: LastOf<Cast<R> & Take<P> & Label>
  ): Promise<Report<M>>;
  /** Runs a suite on a dataset. */
  evaluate<T, M extends Metrics, P extends Params>(
    data: MaybePromise<Dataset<T>>,
    suite: DataSuite<NoInfer<T>, M, P>,
    ...options: LastOf<Take<P> & Label>
  ): Promise<Report<M>>;

  /**
   * The only branch on data: a pure rule over the numbers of reports.
   *
   * @param question names the decision; the same question asked again in a round or arm has an answer of its own
   * @param assume the answer that `plan` uses while the reports do not exist
   * @throws for a report of an oracle suite
   */
  decide<S extends { readonly [name: string]: MaybePromise<Report<Metrics>> }, A extends string | number | boolean>(
    question: string,
    reports: S,
    rule: (values: { readonly [K in keyof S]: S[K] extends MaybePromise<Report<infer M>> ? M : never }) => A,
    assume: NoInfer<A>,
  ): Promise<A>;

  /** Passes `of` through if it has enough rows and a large enough kept share (0 to 1). Otherwise the experiment waits for a person. */
  gate<T>(of: MaybePromise<Dataset<T>>, need: { readonly rows?: number; readonly share?: number }, label?: Label): Promise<Dataset<T>>;
  /** Passes a report through if its numbers are high enough. Otherwise the experiment waits for a person.
   *  @throws for a report of an oracle suite */
  gate<M extends Metrics>(
    of: MaybePromise<Report<M>>,
    need: { readonly atLeast: { readonly [K in keyof M]?: number } },
    label?: Label,
  ): Promise<Report<M>>;

  /**
   * At most `limit` rounds, numbered from 1. Between two rounds the experiment can stop or continue as new, and it can be forked there.
   *
   * @example
   * for await (const round of run.rounds(2)) model = round.train('forward', { ...sft, from: base, data: round.map(judge, pool) });
   */
  rounds(limit: number): AsyncIterable<Round>;

  /** A `Run` with a name: one arm of a comparison. A step that two arms share runs once. */
  arm(name: string): Run;
}

/** A round is a `Run`. Its random choices are new in each round; those of `run` are made once. */
export interface Round extends Run {
  readonly number: number;
  readonly last: boolean;
}

type LastOf<O> = {} extends O ? [options?: O] : [options: O];

/** A method. `C` has references and settings, already checked. The recipe returns the results of the experiment by name. */
export type Recipe<C, P extends { readonly [name: string]: Ref } = { model: Model }> = (run: Run, config: C) => Promise<P>;
