/** What `backspin plan` shows: the steps of an experiment before it runs. Types only. */
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
  /** null: it depends on results that do not exist yet. */
  readonly stepKey: string | null;
  readonly state: 'completed' | 'planned';
  /** Its result is in the store already: it costs nothing. */
  readonly cached: boolean;
  /** Exact where `cached`, else an upper bound; null: nothing is known. */
  readonly in: number | null;
  readonly kept: number | null;
  readonly dropped: { readonly [reason: string]: number };
  /** Model calls to come, at most; null: how many hangs on the records. */
  readonly requests: number | null;
  /** Optimizer steps to come. */
  readonly trainingSteps: number | null;
  readonly seconds: number | null;
  readonly output: { readonly digest: string; readonly rows: number | null } | null;
  /** Paths of the steps whose results it takes. */
  readonly needs: readonly string[];
  /** Pool whose device it holds; null: the data workers. */
  readonly pool: string | null;
  /** Space that its result will take. */
  readonly bytes: number | null;
}

export interface Plan {
  readonly experiment: string;
  readonly recipe: string;
  readonly steps: readonly PlannedStep[];
  /** Branches on data: the answer that the plan goes by, and whether it is assumed for want of real reports. */
  readonly questions: readonly { readonly path: string; readonly answer: unknown; readonly assumed: boolean }[];
  readonly warnings: readonly string[];
  /** Files of model folders that are not brought in, by the step that brings the others in. */
  readonly leftOut: readonly { readonly path: string; readonly files: readonly string[] }[];
  /** What the experiment needs and this installation lacks: a launch would stand at attention for it. */
  readonly missing: readonly string[];
  readonly totals: {
    readonly steps: number;
    readonly cached: number;
    /** Of the steps that tell it. */
    readonly requests: number;
    readonly trainingSteps: number;
    readonly bytes: number;
  };
}
