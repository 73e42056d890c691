/** The standard reducers, as a recipe uses them; `operators/std/` implements them. */
import { operators, type Dataset, type Metrics, type Model, type RecordOf, type Reduction, type Report, type MaybePromise } from './api.ts';

const std = operators<Record<string, (inputs: unknown, params?: unknown) => never>>('std');

type Test<V> =
  | V
  | (V extends number ? { readonly atLeast?: number; readonly atMost?: number } : never)
  | (V extends string ? { readonly oneOf: readonly V[] } : never);
export type Where<T> = { readonly [K in keyof T]?: Test<T[K]> };
type Numeric<T> = { [K in keyof T]-?: T[K] extends number ? K : never }[keyof T];
/** Fields that are a number, or a list, whose length counts. */
export type Scoring<T> = { [K in keyof T]-?: T[K] extends number | readonly unknown[] ? K : never }[keyof T];
export interface Selection<T> {
  readonly where?: Where<T>;
  readonly best?: { readonly by: Numeric<T>; readonly order: 'highest' | 'lowest'; readonly share?: number; readonly count?: number };
  /** A seeded sample of this many records; or, with `as`, of as many as another dataset has (the smallest of several), and at most `most`. If
   *  there are fewer records, all of them: put a gate behind it. */
  readonly take?:
    | number
    | { readonly as: MaybePromise<Dataset<unknown>> | readonly MaybePromise<Dataset<unknown>>[]; readonly most?: number };
}
/**
 * Filters, then ranks, then samples. Record ids break ties.
 *
 * @example
 * run.reduce(select(judged, { where: { score: { atLeast: 4.5 } }, take: 1000 }))
 */
export const select = <T>(from: MaybePromise<Dataset<T>>, rule: Selection<T>): Reduction<Dataset<T>> => std['select']!({ of: from }, rule);

type Part<S> = { [K in keyof S]: RecordOf<S[K]> & { readonly part: K } }[keyof S];
/** The union of several datasets, each record with the name of its dataset in `part`, which a template can turn into a tag. */
export const mix = <S extends { readonly [part: string]: MaybePromise<Dataset<unknown>> }>(parts: S): Reduction<Dataset<Part<S>>> =>
  std['mix']!(parts);
/** The union of datasets of one type; records with equal ids once. */
export const union = <T>(parts: readonly MaybePromise<Dataset<T>>[]): Reduction<Dataset<T>> => std['union']!(parts);
/** The records of `left` whose field `on` has a value that does not occur in `right`. */
export const without = <T, K extends keyof T>(
  left: MaybePromise<Dataset<T>>,
  right: MaybePromise<Dataset<{ readonly [P in K]: T[P] }>>,
  on: K,
): Reduction<Dataset<T>> => std['without']!({ left, right }, { on: on as never });
/** Drops records whose text in `on` nearly repeats an earlier one: MinHash candidates, then a check of the Jaccard index of word 3-grams
 *  (from `jaccard`, 0 to 1, on). */
export const dedup = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: { readonly on: keyof T & string; readonly jaccard: number },
): Reduction<Dataset<T>> => std['dedup']!({ of: from }, rule);
/** Drops records that share `words` consecutive words (by default 13) with an item of an evaluation, or that have a text which is such an
 *  item as a whole. `fields` are those of the items, as paths such as `requests.prompt`. */
export const decontaminate = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: {
    readonly against: readonly { readonly items: MaybePromise<Dataset<unknown>>; readonly fields: readonly string[] }[];
    readonly words?: number;
  },
): Reduction<Dataset<T>> => std['decontaminate']!({ of: from }, rule);
/** `count` tasks, each with `each` records drawn without replacement: use it for a step that generates records from nothing. */
export const draw = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: { readonly count: number; readonly each: number },
): Reduction<Dataset<{ readonly drawn: readonly T[] }>> => std['draw']!({ of: from }, rule);
/** Every record `times` times. Use it for a step that samples several replies for a record: each copy is a record of its own, which the step
 *  keeps or drops, and which a quorum counts. */
export const repeat = <T>(from: MaybePromise<Dataset<T>>, times: number): Reduction<Dataset<T>> => std['repeat']!({ of: from }, { times });
/** Adds to every record its `cluster`, by seeded k-means over the embeddings of the text in `on`, and the `distance` of the text in `beside`
 *  from it: 1 - cosine. */
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
/** `count` records, selected by farthest-first traversal of the embeddings of the text in `on`. */
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
/** Mean and standard deviation of each number over several reports. */
export const spread = <M extends Metrics>(
  reports: readonly MaybePromise<Report<M>>[],
): Reduction<Report<{ readonly [K in keyof M as `${K & string}Mean` | `${K & string}Std`]: number }>> => std['spread']!(reports);
/** `count` records, each twice: as it is, and with the fields in `move` from another record, which does not agree with it in `about`. */
export const shuffled = <T>(
  from: MaybePromise<Dataset<T>>,
  rule: {
    readonly count: number;
    readonly move: { readonly [K in keyof T & string]?: keyof T & string };
    readonly about: (keyof T & string) | null;
  },
): Reduction<Dataset<T & { readonly shuffled: boolean }>> => std['shuffled']!({ of: from }, rule);
/** How well a judge tells the `pairs` of `shuffled` apart: `auc` and a histogram of its scores. */
export const separation = <T>(
  of: { readonly pairs: MaybePromise<Dataset<{ readonly shuffled: boolean }>>; readonly judged: MaybePromise<Dataset<T>> },
  rule: { readonly score: Scoring<T> | null; readonly order: 'highest' | 'lowest'; readonly minAuc: number },
): Reduction<Report<{ readonly auc: number }>> => std['separation']!(of, rule);
