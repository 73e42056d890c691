/** Types of `backspin plan`: the steps of an experiment before it runs. */
import type { StepKind } from './call.ts';

export interface PlannedStep {
  /** arm/round/name, unique. */
  readonly path: string;
  readonly arm: string | null;
  readonly round: number | null;
  readonly name: string;
  readonly kind: StepKind;
  /** Operators, reducer, objective or suite. */
  readonly operation: string;
  /** null: the key depends on results that do not exist yet. */
  readonly stepKey: string | null;
  readonly state: 'completed' | 'planned';
  /** The store has the result already, so the step costs nothing. */
  readonly cached: boolean;
  /** Exact if `cached`, else an upper bound; null: unknown. */
  readonly in: number | null;
  readonly kept: number | null;
  readonly dropped: { readonly [reason: string]: number };
  /** The most model calls to come; null: the number depends on the records. */
  readonly requests: number | null;
  /** Optimizer steps to come. */
  readonly trainingSteps: number | null;
  readonly seconds: number | null;
  readonly output: { readonly digest: string; readonly rows: number | null } | null;
  /** Paths of the steps whose results it uses. */
  readonly needs: readonly string[];
  /** Pool of its device group; null: a data worker runs it. */
  readonly pool: string | null;
  /** Bytes that the result will take. */
  readonly bytes: number | null;
}

export interface Plan {
  readonly experiment: string;
  readonly recipe: string;
  /** Where models, and datasets of the Hub, come from. */
  readonly origins: readonly { readonly name: string; readonly from: string }[];
  readonly steps: readonly PlannedStep[];
  /** Branches on data: the answer that the plan uses, and whether the plan assumes it because no report exists yet. */
  readonly questions: readonly { readonly path: string; readonly answer: unknown; readonly assumed: boolean }[];
  readonly warnings: readonly string[];
  /** Files of model folders that the import leaves out, by importing step. */
  readonly leftOut: readonly { readonly path: string; readonly files: readonly string[] }[];
  /** What the experiment needs and this installation lacks: after a launch it would wait at attention. */
  readonly missing: readonly string[];
  readonly totals: {
    readonly steps: number;
    readonly cached: number;
    /** Sum over the steps with a known number. */
    readonly requests: number;
    readonly trainingSteps: number;
    readonly bytes: number;
  };
}
