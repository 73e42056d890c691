/** A run of a staged recipe as the experiment that the store would have of it. */
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import { resolve } from '../../steps/resolve.ts';
import type { Ran, Stage } from './recipe.ts';

/** Puts the record into the store of the stage, under the name of the recipe. `change`: other fields of the record. */
export async function keepRecord(
  recipe: string,
  { bench }: Pick<Stage, 'bench'>,
  { performed, given }: Pick<Ran, 'performed' | 'given'>,
  change: Partial<ExperimentRecord> = {},
): Promise<ExperimentRecord> {
  const { context, services } = bench;
  const registry = await services.registry([]);
  const steps = new Map<string, Step>();
  for (const { call, result } of performed) {
    const { stepKey } = await resolve(call, context, registry);
    const [, round] = /^(?:.*\/)?r(\d+)\//.exec(call.path) ?? [];
    steps.set(call.path, {
      path: call.path,
      arm: null,
      round: round === undefined ? null : Number(round),
      name: call.path.split('/').at(-1)!,
      kind: call.verb,
      operation: call.operation,
      state: 'completed',
      stepKey,
      cached: false,
      result,
    });
  }
  const config: BoundConfig = {
    name: recipe,
    recipe,
    seed: 0,
    modules: [],
    serving: context.serving,
    roles: {},
    training: { pool: 'cpu', threads: null },
    evaluation: {},
    ...given,
  };
  const record: ExperimentRecord = {
    name: recipe,
    recipe,
    workflowId: `${services.store.id}.${recipe}`,
    runId: null,
    config,
    configDigest: '0'.repeat(64),
    parent: null,
    state: 'completed',
    round: null,
    steps: [...steps.values()],
    attention: [],
    notices: [],
    decisions: {},
    result: null,
    failure: null,
    updated: new Date(0).toISOString(),
    ...change,
  };
  await services.store.putExperiment(record);
  return record;
}
