/** `backspin status NAME`: where an experiment stands. Answers from the store when no server is up. */
import { tryConnect } from './connect.ts';
import { experimentOf, openExperiments, openHome } from './home-store.ts';
import { LiveCounts } from './live.ts';
import { progressOf } from './progress.ts';
import { printJson } from './text.ts';
import { summary, tree } from './tree.ts';
import { viewOf } from './view.ts';

export async function run(name: string, { json }: { json?: boolean }): Promise<void> {
  const store = await openHome();
  const record = await experimentOf(store, name);
  const temporal = await tryConnect();
  try {
    const progress = temporal && (await progressOf(temporal, record, () => openExperiments(store)));
    const view = await viewOf(store, progress?.record ?? record, new LiveCounts(), progress?.waits);
    if (json) return printJson(view);
    console.log([...tree(view), '', ...summary(view, temporal?.ui ?? null, temporal?.namespace)].join('\n'));
    if (progress?.stale) console.error(`Note: ${progress.stale}.`);
  } finally {
    await temporal?.close();
  }
}
