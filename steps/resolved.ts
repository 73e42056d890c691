/** A call with all that it names: what every part of a step's work goes by. Types only. */
import type { Operator, ReducerDef, SourceDef, TemplateDef } from '../recipe/define.ts';
import type { StepCall, ModelRef } from '../schemas/call.ts';
import type { Determinism } from '../schemas/store.ts';
import type { Registry } from './registry.ts';

/** What the definitions behind a call come to. */
export interface Defined {
  readonly params: object;
  /** Operator, template, prompt and suite ids with their versions. */
  readonly versions: Readonly<Record<string, number>>;
  /** Of backspin, behind those definitions: file -> sha256. */
  readonly sources: Readonly<Record<string, string>>;
  /** Of the experiment's modules, behind each of those definitions: part of the step's key. */
  readonly modules: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export type AnyOperator = Operator<unknown, unknown, string, object>;
export type AnyReducer = ReducerDef<unknown, never, object>;
export type AnySource = SourceDef<unknown, object>;
export type AnyTemplate = TemplateDef<unknown, unknown>;

/** An operator of a chain. */
export interface Link {
  readonly operator: AnyOperator;
  /** The chain so far, and its key. */
  readonly operation: string;
  readonly stepKey: string;
  /** Its own; datasets among them are references. */
  readonly params: object;
  /** Names of the prompts whose versions are in the key. */
  readonly prompts: readonly string[];
}
export interface Resolved extends Pick<Defined, 'params' | 'versions' | 'sources'> {
  readonly call: StepCall;
  /** Whose step it is: its name is no part of the key. */
  readonly experiment: string;
  readonly stepKey: string;
  readonly registry: Registry;
  readonly inputs: readonly string[];
  readonly determinism: Determinism;
  /** Operators of a map in order, each with the key of the chain that ends with it. */
  readonly chain: readonly Link[];
  /** Role -> model, for maps and evaluations of models. */
  readonly cast: Readonly<Record<string, ModelRef>>;
  /** It is computed by a child on the training's pool, not asked of a server. */
  readonly offline: boolean;
  /** Digests of the files from outside that the key is of: of a source in its order, of a model by their names. */
  readonly files: readonly string[] | Readonly<Record<string, string>>;
}
