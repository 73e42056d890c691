/** `backspin list`: all experiments of this home. Answers from the store when no server is up. */
import { openHome } from './home-store.ts';
import { printJson, table } from './text.ts';

export async function run({ json }: { json?: boolean }): Promise<void> {
  const store = await openHome();
  const records = (await store.experiments()).toSorted((a, b) => b.updated.localeCompare(a.updated));
  const { tryConnect } = await import('./connect.ts');
  const temporal = await tryConnect();
  try {
    const { progressOf } = await import('./progress.ts');
    const closed = (state: string) => ['completed', 'failed', 'cancelled'].includes(state);
    const current = await Promise.all(
      records.map(async (record) => (temporal && !closed(record.state) ? (await progressOf(temporal, record)).record : record)),
    );
    if (json) {
      printJson(
        current.map(({ name, workflowId, runId, recipe, state, round, parent, updated }) => ({
          experiment: name,
          workflowId,
          runId,
          recipe,
          state,
          round,
          parent,
          updated,
        })),
      );
    } else if (current.length === 0) {
      console.log(`No experiment in ${store.root} yet: backspin launch FILE starts one.`);
    } else {
      const rows = current.map(({ name, recipe, state, round, parent, updated }) => [
        name,
        recipe,
        state,
        round,
        parent ? `${parent.name} r${parent.round}` : '',
        updated,
      ]);
      console.log(table(['experiment', 'recipe', 'state', 'round', 'fork of', 'updated'], rows));
    }
  } finally {
    await temporal?.close();
  }
}
