/** `backspin launch FILE`: starts an experiment, or attaches to the one that this configuration started before. */
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { workflowId } from '../schemas/names.ts';
import type { Store } from '../store/store.ts';
import type { ExperimentInput } from '../workflows/messages.ts';
import { loadExperiment, type Experiment } from './config.ts';
import { namedServer } from '../workers/profile.ts';
import { differences } from './difference.ts';
import { currentUp } from './home.ts';
import { openHome } from './home-store.ts';
import { startExperiment } from './start.ts';

interface Options {
  readonly name?: string;
  readonly set: string[];
  readonly watch?: boolean;
}

export async function run(file: string, { name, set, watch }: Options): Promise<number> {
  const experiment = await loadExperiment(file, set, name);
  return launch(await openHome(), experiment, { parent: null, pins: {} }, watch ?? false);
}

/** Gives the exit code: that of `watch` where it is watched. */
export async function launch(
  store: Store,
  { bound, digest }: Experiment,
  origin: Pick<ExperimentInput, 'parent' | 'pins'>,
  watch: boolean,
): Promise<number> {
  const before = await store.experiment(bound.name);
  if (before) refuseOther(before, bound, digest);
  if (before?.state !== 'completed' || watch) await ensureUp();
  if (before?.state !== 'completed') {
    if (!before) await store.putExperiment(newRecord(workflowId.experiment(store.id, bound.name), { bound, digest }, origin));
    console.log(await startExperiment(store.id, { bound, digest }, origin));
  } else {
    console.log(`${bound.name} was completed with this configuration; nothing is left to do.`);
  }
  if (watch) return (await import('./watch.ts')).run(bound.name);
  await (await import('./status.ts')).run(bound.name, {});
  return 0;
}

function refuseOther(before: ExperimentRecord, bound: Experiment['bound'], digest: string): void {
  if (before.configDigest === digest) return;
  const lines = differences(before.config, bound).map((line) => `  ${line}`);
  throw new BackspinError(
    'NameInUse',
    `${bound.name} was launched with another configuration (then -> now):\n${lines.join('\n')}\nGive this one a name of its own (--name), or fork that one (\`backspin fork\`).`,
  );
}

async function ensureUp(): Promise<void> {
  if (currentUp()?.ready) return;
  const server = namedServer();
  console.log(
    server
      ? `No workers are up here: starting them for the Temporal server at ${server.address} (backspin up --detach).`
      : 'Nothing is up: starting a Temporal server and workers (backspin up --detach).',
  );
  await (await import('./detach.ts')).detach({});
}

const newRecord = (id: string, { bound, digest }: Experiment, { parent }: Pick<ExperimentInput, 'parent'>): ExperimentRecord => ({
  name: bound.name,
  recipe: bound.recipe,
  workflowId: id,
  runId: null,
  config: bound,
  configDigest: digest,
  parent,
  state: 'running',
  round: null,
  steps: [],
  attention: [],
  notices: [],
  ledger: {},
  decisions: {},
  result: null,
  failure: null,
  updated: new Date().toISOString(),
});
