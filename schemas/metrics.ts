/** What workers count while they run; `up --metrics` gives it to Prometheus. */
export interface Metrics {
  /** Sends a request to a server: counts it, its tokens and its seconds. The request is in flight until it is over. */
  request<T extends { readonly tokens: number }>(server: string, requestId: string, send: () => Promise<T>): Promise<T>;
  /** Counts the records of a batch that has ended in this worker. `dropped`: reasons. */
  batch(experiment: string, records: { readonly kept: number; readonly dropped: readonly string[] }): void;
  /** A lease of a pool begins (1) or ends (-1). */
  lease(pool: string, change: 1 | -1): void;
}

export const noMetrics: Metrics = {
  request: (_, __, send) => send(),
  batch: () => {},
  lease: () => {},
};
