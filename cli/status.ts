/** `backspin status NAME`: shows the progress of an experiment. Answers from the store if no server is up. */
import { currentProgress, withTemporal } from '../experiments/current.ts';
import { openHome } from '../host/home-store.ts';
import { sweepOf } from '../store/sweeps.ts';
import { experimentOf, openExperiments } from '../experiments/record.ts';
import { LiveCounts } from '../experiments/live.ts';
import { printJson } from './terminal/text.ts';
import { summary, tree } from './terminal/tree.ts';
import { viewOf } from '../experiments/view.ts';

export async function run(name: string, { json }: { json?: boolean }): Promise<void> {
  const store = await openHome();
  const sweep = await sweepOf(store, name);
  if (sweep) return (await import('./sweep.ts')).statusOfSweep(store, sweep, json);
  const record = await experimentOf(store, name);
  await withTemporal(async (temporal, why) => {
    const progress = await currentProgress(temporal, why, record, () => openExperiments(store));
    const view = await viewOf(store, progress.record, new LiveCounts(), progress.waits);
    const earlier = (await store.experimentNames()).filter((one) => one.startsWith(`${name}~`));
    if (json) return printJson({ ...view, stale: progress.stale, earlier });
    console.log([...tree(view), '', ...summary(view, temporal?.ui ?? null, temporal?.namespace)].join('\n'));
    for (const one of earlier) console.log(`Before        backspin status ${one}`);
    if (progress.stale) console.error(`Note: ${progress.stale}.`);
  });
}
