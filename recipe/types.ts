/** What a recipe and the definitions behind it both name: references, and what they are made of. */

declare const of: unique symbol;

/** Immutable records of type T. The recipe sees no rows and no counts: what it may not see it cannot branch on. */
export interface Dataset<out T> {
  readonly kind: 'dataset';
  readonly [of]?: T;
}

/** `lm` speaks chat, completion and log-probabilities; `encoder` embeds; `tagger` classifies and tags. */
export type ModelKind = 'lm' | 'encoder' | 'tagger';

/** Immutable weights or adapter, with tokenizer and chat template. */
export interface Model<out K extends ModelKind = 'lm'> {
  readonly kind: 'model';
  readonly [of]?: K;
}

/** A few named numbers measured from data or a model. They are read in `decide` and nowhere else. */
export interface Report<out M extends Metrics> {
  readonly kind: 'report';
  readonly [of]?: M;
}
export type Metrics = Readonly<Record<string, number>>;

export type Ref = Dataset<unknown> | Model<ModelKind> | Report<Metrics>;

/** Every input may be a promise: the recipe awaits where its paper has an arrow, and nowhere else. */
export type MaybePromise<T> = T | Promise<T>;
export type RecordOf<D> = D extends MaybePromise<Dataset<infer T>> ? T : never;

/** Plain JSON, and datasets that an operator wants loaded beside it. Checked by the operator's schema when the step opens. */
export type Params = object;

export type Outputs = Dataset<unknown> | Report<Metrics> | { readonly [name: string]: Dataset<unknown> | Report<Metrics> };

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}
