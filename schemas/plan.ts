/** What `backspin plan` tells. Numbers of steps not made yet are upper bounds. */

export interface PlannedStep {
  readonly path: string;
  readonly arm: string | null;
  readonly round: number | null;
  readonly name: string;
  readonly kind: 'map' | 'reduce' | 'train' | 'evaluate';
  readonly what: string;
  /** Null behind the first step that was not made yet. */
  readonly stepKey: string | null;
  readonly state: 'planned' | 'completed';
  readonly memoised: boolean;
  readonly in: number | null;
  readonly kept: number | null;
  readonly dropped: Readonly<Record<string, number>>;
  /** To be sent; 0 where memoised. */
  readonly requests: number;
  /** To be taken; 0 where memoised. */
  readonly trainingSteps: number;
  readonly seconds: number | null;
  readonly output: { readonly digest: string; readonly rows: number | null } | null;
  /** Names of results, for the edges of the graph: 16 characters of a digest, or of a symbol's. */
  readonly needs: readonly string[];
  readonly gives: readonly string[];
}

export interface Plan {
  readonly experiment: string;
  readonly recipe: string;
  readonly steps: readonly PlannedStep[];
  readonly questions: readonly { readonly path: string; readonly answer: unknown; readonly assumed: boolean }[];
  readonly warnings: readonly string[];
  readonly totals: { readonly steps: number; readonly memoised: number; readonly requests: number; readonly trainingSteps: number };
}
