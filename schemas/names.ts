/** Names on a Temporal server. All begin with the store's id, so two stores on one server never meet. */

export const queues = {
  orchestrator: (store: string) => `${store}.orchestrator`,
  data: (store: string) => `${store}.data`,
  /** Of the data workers too: what waits for an external server keeps nothing else waiting. */
  external: (store: string) => `${store}.external`,
  pool: (store: string, pool: string) => `${store}.pool.${pool}`,
  /** Polled by every worker of the pool, however busy: one whose groups are all taken does not poll the pool's. */
  pollers: (store: string, pool: string) => `${store}.pool.${pool}.presence`,
  /** Served by whoever holds a lease of this step. */
  lease: (store: string, stepKey: string) => `${store}.lease.${stepKey.slice(0, 16)}`,
};

/** `TaskQueueType` of Temporal's protocol. */
export const taskQueueType = { workflow: 1, activity: 2 } as const;

export const workflowId = {
  experiment: (store: string, name: string) => `${store}.${name}`,
  /** Global within a store: two experiments that want the same step compute it once. */
  stage: (store: string, what: string, stepKey: string) => `${workflowId.stages(store)}${what}.${stepKey.slice(0, 16)}`,
  /** The beginning of all of them. */
  stages: (store: string) => `${store}.map.`,
};

export const searchAttributes = {
  BackspinExperiment: 'KEYWORD',
  BackspinRecipe: 'KEYWORD',
  BackspinState: 'KEYWORD',
  BackspinRound: 'INT',
} as const;
