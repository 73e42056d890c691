/** `backspin list`: lists all experiments of this home. Answers from the store if no server is up. Exit code 1 if a record cannot be
 *  read. */
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { currentProgress, withTemporal } from '../experiments/current.ts';
import { explainError } from './terminal/failure.ts';
import { experimentsInUi } from '../host/home.ts';
import { openHome } from '../host/home-store.ts';
import { readOrRestore } from '../experiments/restore.ts';
import { printJson, table } from './terminal/text.ts';

export async function run({ json }: { json?: boolean }): Promise<number> {
  const store = await openHome();
  const records: ExperimentRecord[] = [];
  const notes = new Set<string>();
  let code = 0;
  await withTemporal(async (temporal, why) => {
    for (const name of await store.experimentNames()) {
      try {
        const record = await readOrRestore(store, name, temporal);
        if (record) records.push(record);
      } catch (error) {
        notes.add(explainError(error) ?? (error as Error).message);
        code = 1;
      }
    }
    const progress = await Promise.all(records.map((record) => currentProgress(temporal, why, record)));
    for (const { stale, gone, record } of progress) {
      if (stale !== null) notes.add(`Note: ${stale}.`);
      if (gone) notes.add(`Note: ${record.name}: ${record.failure}.`);
    }
    const current = progress.map(({ record }) => record).toSorted((a, b) => b.updated.localeCompare(a.updated));
    if (json) printJson(current.map(fields));
    else if (current.length === 0) console.log(`No experiment in ${store.location} yet: backspin launch FILE starts one.`);
    else {
      console.log(table(['experiment', 'recipe', 'state', 'round', 'fork of', 'updated'], current.map(row)));
      if (temporal?.ui) console.log(`\nIn the Temporal UI: ${experimentsInUi(temporal.ui, temporal.namespace)}`);
    }
  });
  for (const note of notes) console.error(note);
  return code;
}

const fields = ({ name, workflowId, runId, recipe, state, round, parent, updated }: ExperimentRecord) => ({
  experiment: name,
  workflowId,
  runId,
  recipe,
  state,
  round,
  parent,
  updated,
});
const row = ({ name, recipe, state, round, parent, updated }: ExperimentRecord) => [
  name,
  recipe,
  state,
  round,
  parent ? `${parent.name} r${parent.round}` : '',
  updated,
];
