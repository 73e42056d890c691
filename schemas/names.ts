/** Names of task queues and workflows. All start with the store's id, so two stores can share a Temporal server. */

export const queues = {
  orchestrator: (store: string) => `${store}.orchestrator`,
  data: (store: string) => `${store}.data`,
  /** Polled by data workers for external servers, so that a slow server blocks no other work. */
  external: (store: string) => `${store}.external`,
  pool: (store: string, pool: string) => `${store}.pool.${pool}`,
  /** Every worker of the pool polls this queue, even if all its groups are busy. A busy worker does not poll the pool's queue. */
  pollers: (store: string, pool: string) => `${store}.pool.${pool}.presence`,
  /** Polled by the holders of this step's leases. */
  lease: (store: string, stepKey: string) => `${store}.lease.${stepKey.slice(0, 16)}`,
};

/** `TaskQueueType` of Temporal's protocol. */
export const taskQueueType = { workflow: 1, activity: 2 } as const;

export const workflowId = {
  experiment: (store: string, name: string) => `${store}.${name}`,
  /** Experiments have no point in their names. */
  sweep: (store: string, name: string) => `${store}.sweep.${name}`,
  /** The same for all experiments of a store, so a step that two of them need is computed once. */
  stage: (store: string, what: string, stepKey: string) => `${workflowId.stages(store)}${what}.${stepKey.slice(0, 16)}`,
  /** Prefix of all stage ids. */
  stages: (store: string) => `${store}.map.`,
};

export const searchAttributes = {
  BackspinExperiment: 'KEYWORD',
  BackspinRecipe: 'KEYWORD',
  BackspinState: 'KEYWORD',
  BackspinRound: 'INT',
} as const;
