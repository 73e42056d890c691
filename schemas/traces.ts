/** Spans of what workers do, for OpenTelemetry: below the span of a step are its activities, below these their requests. */
export interface Traces {
  /** Runs an activity of a step. */
  activity<T>(of: TracedActivity, body: () => Promise<T>): Promise<T>;
  /** Sends a request to a server, in an activity. */
  request<T extends { readonly tokens: number }>(server: string, requestId: string, send: () => Promise<T>): Promise<T>;
}

export interface TracedActivity {
  readonly experiment: string;
  /** Path and operation of the step. */
  readonly step: string;
  readonly operation: string;
  /** When the step began, in milliseconds since 1970. */
  readonly began: number;
  /** Type of the activity, such as `batch`. */
  readonly type: string;
  readonly attempt: number;
  /** Number of the batch. */
  readonly batch: number | undefined;
  /** Whether the step has ended with this result of the activity. */
  readonly ends: (result: unknown) => boolean;
}
