/** The types of a resolved call. */
import type { Operator, ReducerDef, SourceDef, TemplateDef } from '../recipe/define.ts';
import type { StepCall, ModelRef } from '../schemas/call.ts';
import type { Determinism } from '../schemas/store.ts';
import type { Registry } from './registry.ts';

/** The definitions behind a call. */
export interface Defined {
  readonly params: object;
  /** Operator, template, prompt and suite ids with their versions. */
  readonly versions: Readonly<Record<string, number>>;
  /** Backspin's files behind those definitions -> sha256. */
  readonly sources: Readonly<Record<string, string>>;
  /** Files of the experiment's modules behind each definition: part of the step's key. */
  readonly modules: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export type AnyOperator = Operator<unknown, unknown, string, object>;
export type AnyReducer = ReducerDef<unknown, never, object>;
export type AnySource = SourceDef<unknown, object>;
export type AnyTemplate = TemplateDef<unknown, unknown>;

/** An operator of a chain. */
export interface Link {
  readonly operator: AnyOperator;
  /** The chain up to and including this operator, and its key. */
  readonly operation: string;
  readonly stepKey: string;
  /** The operator's own parameters. Datasets among them are references. */
  readonly params: object;
  /** Names of the prompts whose versions are in the key. */
  readonly prompts: readonly string[];
}
/** With what decides whether its stored result is still right. */
export type StoredLink = Link & Pick<Defined, 'versions' | 'sources'>;
export interface Resolved extends Pick<Defined, 'params' | 'versions' | 'sources'> {
  readonly call: StepCall;
  /** Experiment of the step; not part of the key. */
  readonly experiment: string;
  readonly stepKey: string;
  readonly registry: Registry;
  readonly inputs: readonly string[];
  readonly determinism: Determinism;
  /** Operators of a map in order, each with the key of the chain that ends with it. */
  readonly chain: readonly StoredLink[];
  /** Role -> model, for maps and evaluations of models. */
  readonly cast: Readonly<Record<string, ModelRef>>;
  /** A subprocess on the training pool computes the step; no server is asked. */
  readonly offline: boolean;
  /** Digests of the files outside the store: a list for a source, by name for a model. */
  readonly files: readonly string[] | Readonly<Record<string, string>>;
}
