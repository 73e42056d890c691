/** Tasks of EleutherAI's harness (lm_eval), for sources that read their requests. */
export interface HarnessRequests {
  /** A folder of local tasks. */
  readonly include: string | null;
  readonly tasks: {
    readonly tasks: readonly string[];
    readonly fewshot: number | null;
    readonly limit: number | null;
    readonly chat: boolean;
    readonly system: string | null;
  };
}
