/** Stands in for a running experiment that answers the progress query. */
import { defineQuery, setHandler, sleep, workflowInfo } from '@temporalio/workflow';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import type { ExperimentInput } from '../../schemas/messages.ts';

export async function experiment({ config, configDigest }: ExperimentInput): Promise<void> {
  const { workflowId, runId } = workflowInfo();
  const record: ExperimentRecord = {
    name: config.name,
    recipe: config.recipe,
    workflowId,
    runId,
    config,
    configDigest,
    parent: null,
    state: 'running',
    round: 1,
    steps: [],
    attention: [],
    notices: ['This is what the workflow says.'],
    ledger: {},
    decisions: {},
    result: null,
    failure: null,
    updated: new Date().toISOString(),
  };
  setHandler(defineQuery<ExperimentRecord>('progress'), () => record);
  await sleep('1 day');
}
