/** `backspin launch FILE`: starts an experiment, or attaches to the one that runs with the same configuration. */
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import type { ExperimentInput } from '../schemas/messages.ts';
import { loadExperiment, type Experiment } from '../experiments/config.ts';
import { refuseOtherBuild } from '../host/builds.ts';
import { openHome } from '../host/home-store.ts';
import { readOrDiscard } from '../experiments/restore.ts';
import { startExperiment } from '../experiments/start.ts';
import { loadSweep } from '../experiments/sweep.ts';
import { sweepOf } from '../store/sweeps.ts';
import { ensureUp, prepare, writesOf } from './prepare.ts';

interface Options {
  readonly name?: string;
  readonly set: string[];
  readonly watch?: boolean;
}

export async function run(file: string, { name, set, watch }: Options): Promise<number> {
  const sweep = await loadSweep(file, set, name);
  if (sweep) return (await import('./sweep.ts')).launchSweep(await openHome(), sweep, watch ?? false);
  const experiment = await loadExperiment(file, set, name);
  return launch(await openHome(), experiment, { parent: null, pins: {} }, watch ?? false);
}

/** Returns the exit code: that of `watch` with `--watch`, else 0. */
export async function launch(
  store: Store,
  { bound, digest }: Experiment,
  origin: Pick<ExperimentInput, 'parent' | 'pins'>,
  watch: boolean,
): Promise<number> {
  if (await sweepOf(store, bound.name))
    throw new BackspinError('NameInUse', `There is a sweep ${bound.name} already: give the experiment another name (--name).`);
  const prepared = await prepare(store, { bound, digest }, origin);
  const { before, begins } = prepared;
  if (before?.state !== 'completed' || watch) await ensureUp(store);
  if (begins) await refuseOtherBuild(store);
  if (before?.state === 'completed') console.log(`${bound.name} was completed with this configuration; nothing is left to do.`);
  else {
    const { writes, record } = await writesOf(store, { bound, digest }, prepared, origin);
    console.log(await startExperiment(store.id, { bound, digest }, origin, writes));
    if (!(await readOrDiscard(store, bound.name))) await store.putExperiment(record); // it runs already, but its record is lost
  }
  if (watch) return (await import('./watch.ts')).run(bound.name);
  await (await import('./status.ts')).run(bound.name, {});
  return 0;
}
