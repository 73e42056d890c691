/** Types that recipes and definitions share: references, and their contents. */

declare const of: unique symbol;

/** A reference to immutable records of type T. A recipe sees no rows and no counts, so it cannot branch on them. */
export interface Dataset<out T> {
  readonly kind: 'dataset';
  readonly [of]?: T;
}

/** `lm` answers chat, completion and log-probability requests; `encoder` embeds; `tagger` classifies and tags. */
export type ModelKind = 'lm' | 'encoder' | 'tagger';

/** A reference to immutable weights or an adapter, with tokenizer and chat template. */
export interface Model<out K extends ModelKind = 'lm'> {
  readonly kind: 'model';
  readonly [of]?: K;
}

/** A reference to a few named numbers, measured from data or a model. A recipe reads them only in the rule of `decide`. */
export interface Report<out M extends Metrics> {
  readonly kind: 'report';
  readonly [of]?: M;
}
export type Metrics = Readonly<Record<string, number>>;

export type Ref = Dataset<unknown> | Model<ModelKind> | Report<Metrics>;

/** Every input may be a promise: a recipe awaits where its paper has an arrow, and nowhere else. */
export type MaybePromise<T> = T | Promise<T>;
export type RecordOf<D> = D extends MaybePromise<Dataset<infer T>> ? T : never;

/** Plain JSON, and datasets whose records the operator reads. The operator's schema checks them when the step opens. */
export type Params = object;

export type Outputs = Dataset<unknown> | Report<Metrics> | { readonly [name: string]: Dataset<unknown> | Report<Metrics> };

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}
