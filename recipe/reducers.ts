/** The standard reducers, as a recipe names them; `operators/std/` does the work. */
import { operators, type Dataset, type Metrics, type Model, type RecordOf, type Reduction, type Report, type MaybePromise } from './api.ts';

const std = operators<Record<string, (inputs: unknown, params?: unknown) => never>>('std');

type Test<V> =
  | V
  | (V extends number ? { readonly atLeast?: number; readonly atMost?: number } : never)
  | (V extends string ? { readonly oneOf: readonly V[] } : never);
export type Where<T> = { readonly [K in keyof T]?: Test<T[K]> };
type Numeric<T> = { [K in keyof T]-?: T[K] extends number ? K : never }[keyof T];
export interface Selection<T> {
  readonly where?: Where<T>;
  readonly best?: { readonly by: Numeric<T>; readonly order: 'highest' | 'lowest'; readonly share?: number; readonly count?: number };
  /** A seeded sample of exactly this many, or of as many as another dataset has, the smallest of several, and `most`; fewer is a gate. */
  readonly take?:
    | number
    | { readonly as: MaybePromise<Dataset<unknown>> | readonly MaybePromise<Dataset<unknown>>[]; readonly most?: number };
}
/** Filter, then rank, then sample. Ties go by record id. */
export const select = <T>(from: MaybePromise<Dataset<T>>, rule: Selection<T>): Reduction<Dataset<T>> => std['select']!({ of: from }, rule);

type Part<S> = { [K in keyof S]: RecordOf<S[K]> & { readonly part: K } }[keyof S];
/** Union with the source's name in `part`, which a template can turn into a tag. */
export const mix = <S extends { readonly [part: string]: MaybePromise<Dataset<unknown>> }>(parts: S): Reduction<Dataset<Part<S>>> =>
  std['mix']!(parts);
/** Union of like datasets; equal ids once. */
export const union = <T>(parts: readonly MaybePromise<Dataset<T>>[]): Reduction<Dataset<T>> => std['union']!(parts);
/** The records of `left` whose `on` does not occur in `right`. */
export const without = <T, K extends keyof T>(
  left: MaybePromise<Dataset<T>>,
  right: MaybePromise<Dataset<{ readonly [P in K]: T[P] }>>,
  on: K,
): Reduction<Dataset<T>> => std['without']!({ left, right }, { on: on as never });
/** Near-duplicates of `on` go: MinHash and a Jaccard check. */
export const dedup = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: { readonly on: keyof T & string; readonly jaccard: number },
): Reduction<Dataset<T>> => std['dedup']!({ of: from }, rule);
/** `count` tasks, each holding `each` records drawn without replacement: the way into a step that starts from no record. */
export const draw = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: { readonly count: number; readonly each: number },
): Reduction<Dataset<{ readonly drawn: readonly T[] }>> => std['draw']!({ of: from }, rule);
/** Every record with its `cluster`, by seeded k-means in the encoder's space over the text in `on`, and how far the text in `beside`
 *  lies from it: 1 - cosine. */
export const cluster = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: {
    readonly encoder: MaybePromise<Model<'encoder' | 'lm'>>;
    readonly on: keyof T & string;
    readonly beside: keyof T & string;
    readonly clusters: number;
    readonly maxTokens?: number;
  },
): Reduction<Dataset<T & { readonly cluster: number; readonly distance: number }>> => {
  const { encoder, ...params } = rule;
  return std['cluster']!({ of: from, encoder }, params);
};
/** `count` records by farthest-first traversal in the encoder's space. */
export const diverse = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: {
    readonly encoder: MaybePromise<Model<'encoder' | 'lm'>>;
    readonly on: keyof T & string;
    readonly count: number;
    readonly maxTokens?: number;
  },
): Reduction<Dataset<T>> => {
  const { encoder, ...params } = rule;
  return std['diverse']!({ of: from, encoder }, params);
};
/** Mean and standard deviation over reports. */
export const spread = <M extends Metrics>(
  reports: readonly MaybePromise<Report<M>>[],
): Reduction<Report<{ readonly [K in keyof M as `${K & string}Mean` | `${K & string}Std`]: number }>> => std['spread']!(reports);
