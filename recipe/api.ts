/**
 * What a recipe may say. Types only, but for `operators` and `chain`, so a workflow bundle takes in neither zod nor axios.
 * Everything a recipe holds is a reference of under 1 KB.
 */
import type { Budget } from '../schemas/steps.ts';
import type { DataSuiteDef, FilterDef, Operator, ReducerDef, SuiteDef, TemplateDef } from './define.ts';
import type { Dataset, Message, Metrics, Model, ModelKind, Outputs, Params, Ref, Report, MaybePromise } from './types.ts';

export type { Budget };
export * from './types.ts';

declare const of: unique symbol;

// ───────────────────────────────────────────── what runs inside a step ─────────────────────────────────────────────

/** Per-record work, named here and run elsewhere. `Roles` are the models it talks to; `P` its parameters. */
export interface Op<in In, out Out, out Roles extends string = never, in P extends Params = {}> {
  readonly id: string;
  readonly [of]?: (record: In, params: P) => { out: Out; roles: Roles };
}

/** Whole-dataset work: pure, seeded, on CPU; one that is given a `Model` runs as a child on a pool. */
export type Reducer<I, T extends Outputs, P extends Params = {}> = (inputs: I, ...params: Last<P>) => Reduction<T>;
/** A reducer that drops records and changes none, whatever else they hold beside `Least`. */
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

/** Renders a record as one training row. Its id is in the manifest of every model trained with it. */
export interface Template<in T, out Row> {
  readonly id: string;
  readonly [of]?: (record: T) => Row;
}

/** A benchmark: what to ask a model of kind K, and the numbers that come out. */
export interface Suite<in K extends ModelKind, out M extends Metrics, out Roles extends string = never, in P extends Params = {}> {
  readonly id: string;
  readonly [of]?: (model: K, params: P) => { metrics: M; roles: Roles };
}

/** Numbers of a dataset. */
export interface DataSuite<in T, out M extends Metrics, in P extends Params = {}> {
  readonly id: string;
  readonly [of]?: (data: T, params: P) => M;
}

/** A suite as an experiment file names it, with its parameters and the models in its roles: `evaluate` takes both from it. */
export type Chosen<S> = S & { readonly params: object; readonly with?: { readonly [role: string]: Model } };

/** Names the operators, reducers, templates and suites of a recipe by type alone:
 *  `const { judge } = operators<typeof import('../../operators/humpback.ts')>('humpback')`. */
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

/** One step through which each record streams, operator after operator. Every prefix is committed, so a change of the last
 *  operator asks the first nothing again. */
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

/** Required parameters must be given; where nothing is required the last argument may be left out. */
type Last<O> = {} extends O ? [options?: Given<O>] : [options: Given<O>];
type Given<P> = { readonly [K in keyof P]: P[K] extends Ref | undefined ? MaybePromise<P[K]> : P[K] };
type Cast<R extends string> = [R] extends [never]
  ? { readonly with?: never }
  : { readonly with: { readonly [K in R]: MaybePromise<Model> } };
type Take<P> = {} extends P ? { readonly params?: Given<P> } : { readonly params: Given<P> };

export interface MapOptions {
  /** Stop at this many kept records: the shortest prefix in record order that holds them, so a resumed run keeps the same ones. */
  readonly until?: { readonly kept: number };
  /** Where one of these is spent, the step waits for a person: to go on with what there is, with more, or not at all. It never fails
   *  for it. No part of a step's identity, unless it is cut short. */
  readonly budget?: Budget;
  /** Close when this share of the records is settled; the rest is dropped as `straggler`. Default 1: wait for all. */
  readonly quorum?: number;
}
export interface Label {
  /** Name in the UI; never part of a step's identity. Default: the operator's; of a gate, `gate`. */ readonly as?: string;
}

export interface Run {
  /** Applies an operator, or a chain, to every record; `with` casts models in its roles. Kept records make the new dataset. */
  map<In, Out, R extends string, P extends Params>(
    op: Op<In, Out, R, P>,
    over: MaybePromise<Dataset<NoInfer<In>>>,
    ...options: LastOf<Cast<R> & Take<P> & MapOptions & Label>
  ): Promise<Dataset<Out>>;

  /** Computes over whole datasets: select, mix, join, cluster, measure. */
  reduce<T extends Outputs>(reduction: Reduction<T>, label?: Label): Promise<T>;

  /** Trains `from` on `data`. `from` is the lineage: base, or the model of an earlier round. */
  train<O extends Objective, T>(label: string, spec: Training<O, T>): Promise<Model<Objectives[O]['to']>>;

  /** Runs a suite on a model (on a dataset: see the design). It is off the critical path: a round ends without it, the experiment does not. */
  evaluate<K extends ModelKind, M extends Metrics, R extends string, P extends Params>(
    model: MaybePromise<Model<K>>,
    suite: Suite<NoInfer<K>, M, R, P>,
    ...options: LastOf<Cast<R> & Take<P> & Label>
  ): Promise<Report<M>>;
  /** Measures a dataset. */
  evaluate<T, M extends Metrics, P extends Params>(
    data: MaybePromise<Dataset<T>>,
    suite: DataSuite<NoInfer<T>, M, P>,
    ...options: LastOf<Take<P> & Label>
  ): Promise<Report<M>>;

  /** The only branch on data: a pure rule over reports. `assume` is the answer a plan goes by while the reports do not exist. A question
   *  that is asked again in a scope has an answer of its own. */
  decide<S extends { readonly [name: string]: MaybePromise<Report<Metrics>> }, A extends string | number | boolean>(
    question: string,
    reports: S,
    rule: (values: { readonly [K in keyof S]: S[K] extends MaybePromise<Report<infer M>> ? M : never }) => A,
    assume: NoInfer<A>,
  ): Promise<A>;

  /** Passes `of` through, once it has enough: fewer rows, or a smaller kept share, pauses the experiment for a person. */
  gate<T>(of: MaybePromise<Dataset<T>>, need: { readonly rows?: number; readonly share?: number }, label?: Label): Promise<Dataset<T>>;
  /** Passes a report through, once its numbers are high enough. A report of an oracle suite is refused. */
  gate<M extends Metrics>(
    of: MaybePromise<Report<M>>,
    need: { readonly atLeast: { readonly [K in keyof M]?: number } },
    label?: Label,
  ): Promise<Report<M>>;

  /** At most `limit` rounds. Between two of them the experiment can pause, be approved, stop, fork or continue as new. */
  rounds(limit: number): AsyncIterable<Round>;

  /** The same verbs under a name of their own: one arm of a comparison. Equal steps of two arms are one step. */
  arm(name: string): Run;
}

/** A round is a Run: what it draws at random is drawn afresh each round; what `run` draws is drawn once. */
export interface Round extends Run {
  readonly number: number;
  readonly last: boolean;
}

type LastOf<O> = {} extends O ? [options?: O] : [options: O];

/** A method. `C` holds references and settings, already checked; the result names what the experiment hands over. */
export type Recipe<C, P extends { readonly [name: string]: Ref } = { model: Model }> = (run: Run, config: C) => Promise<P>;

// ───────────────────────────────────────────── training ─────────────────────────────────────────────

/** Loss on the last assistant turn only; `weight` scales the row. */
export interface Chat {
  readonly messages: readonly Message[];
  readonly weight?: number;
  /** Rows of one group share a batch. */ readonly group?: string;
}
export interface Preference {
  readonly prompt: readonly Message[];
  readonly chosen: string;
  readonly rejected: string;
}
/** Token ids of the response and one weight per id, at the token's own position. Where the text that they were made of and the hash of
 *  what made them are there, a training by another tokenizer or chat template refuses them. */
export interface Weighted {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
  readonly text?: string;
  readonly hash?: string;
}
export interface WeightedPreference {
  readonly prompt: readonly Message[];
  readonly chosen: Weighted;
  readonly rejected: Weighted;
}
export interface Tagged {
  readonly tokens: readonly string[];
  readonly tags: readonly string[];
  readonly intent: string;
}

export interface Objectives {
  sft: { from: 'lm'; to: 'lm'; row: Chat };
  dpo: { from: 'lm'; to: 'lm'; row: Preference };
  'token-dpo': { from: 'lm'; to: 'lm'; row: WeightedPreference };
  lm: { from: 'lm'; to: 'lm'; row: { readonly text: string } };
  tagger: { from: 'encoder'; to: 'tagger'; row: Tagged };
}
export type Objective = keyof Objectives;

/** Comes from the config and is spread into `train`. A number that depends on the size of the data is a table by rows, looked up
 *  where the rows are and recorded: of `stepsByRows` the entry nearest in ratio, of `byRows` the last that begins at or below. */
export interface Settings<O extends Objective = 'sft'> {
  readonly objective: O;
  /** A number decays to 0. */
  readonly learningRate: number | { readonly from: number; readonly to: number };
  readonly length:
    | { readonly epochs: number }
    | { readonly steps: number }
    | { readonly stepsByRows: readonly (readonly [rows: number, steps: number])[] };
  readonly batch: number | { readonly byRows: readonly (readonly [rows: number, batch: number])[] };
  readonly maxTokens: number;
  /** Of a row of more tokens: it is dropped and counted, its answer loses its end, or the training ends. Default: drop. */
  readonly tooLong?: 'drop' | 'truncate' | 'fail';
  /** A low-rank adapter, scaled by alpha / rank, on the linear layers of these names (default: all but the head). null trains all weights. */
  readonly lora: {
    readonly rank: number;
    readonly alpha: number;
    readonly targets?: readonly string[];
    readonly dropout?: number;
  } | null;
  /** When `from` is an adapter: train on in that adapter, or merge it and begin a new one. */
  readonly adapter: 'continue' | 'merge';
  /** Of a preference loss: how strongly it holds to its reference. Default: 0.1. */
  readonly beta?: number;
  /** Default: linear from `from` to `to`. */
  readonly schedule?: 'linear' | 'cosine';
  readonly warmup?: number;
  readonly weightDecay?: number;
  readonly betas?: readonly [number, number];
  readonly clip?: number;
  readonly dropout?: number;
  /** Default: the experiment's. */
  readonly seed?: number;
  /** `muon` is for `lm`. */
  readonly optimizer?: 'adamw' | 'muon';
}

export type Training<O extends Objective, T> = Settings<O> & {
  readonly from: MaybePromise<Model<Objectives[O]['from']>>;
  readonly data: MaybePromise<Dataset<T>>;
  /** Reference of a preference loss. Default: `from`. */
  readonly reference?: MaybePromise<Model>;
  /** One more independent run of the same training. */
  readonly repeat?: number;
} & ([T] extends [Objectives[O]['row']]
    ? { readonly template?: Template<T, Objectives[O]['row']> }
    : { readonly template: Template<NoInfer<T>, Objectives[O]['row']> });
