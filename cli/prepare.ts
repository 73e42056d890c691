/** Prepares the launch of an experiment: checks it, permits what it does, and says what a start writes. */
import { grantAll } from '../steps/grants.ts';
import { contextOf } from '../recipe/inputs.ts';
import { faultsOf } from '../plan/planner.ts';
import { openServices } from '../steps/services.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { queues, workflowId } from '../schemas/names.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Store } from '../store/store.ts';
import type { ExperimentInput } from '../schemas/messages.ts';
import type { Experiment } from '../experiments/config.ts';
import { connect } from '../host/connect.ts';
import { requirePayloadKey } from '../host/payload-codec.ts';
import { namedServer } from '../host/profile.ts';
import { differences } from '../experiments/difference.ts';
import { asBoundToday } from '../experiments/earlier.ts';
import { currentRecord } from '../experiments/current.ts';
import { currentUp, homeFolder } from '../host/home.ts';
import { readOrDiscard } from '../experiments/restore.ts';
import type { Writes } from '../experiments/start.ts';

type Origin = Pick<ExperimentInput, 'parent' | 'pins'>;
interface Prepared {
  /** The record that the store has, and how it stands now. */
  readonly found: ExperimentRecord | undefined;
  readonly before: ExperimentRecord | undefined;
  /** How the configuration differs from that of an experiment that has ended. */
  readonly other: string | undefined;
  /** Whether it starts from the beginning. */
  readonly begins: boolean;
}

/** Checks that an experiment can be launched, and permits what it does. */
export async function prepare(store: Store, { bound, digest }: Experiment, origin: Origin): Promise<Prepared> {
  const found = await readOrDiscard(store, bound.name);
  const before = found && (await currentRecord(found));
  const other =
    before && before.configDigest !== digest ? changesIn(before, await asBoundToday(before.config as BoundConfig), bound) : undefined;
  const begins = !before || before.state === 'failed' || before.state === 'cancelled';
  if (begins) await refuseFaulty(bound, origin);
  await grantAll(store, contextOf(bound));
  return { found, before, other, begins };
}

/** What a start writes, and what is left of the experiment that had the name before. */
export async function writesOf(
  store: Store,
  { bound, digest }: Experiment,
  { found, before, other }: Prepared,
  origin: Origin,
): Promise<{ readonly writes: Writes; readonly record: ExperimentRecord }> {
  const kept = other === undefined ? undefined : await freeName(store, bound.name);
  if (kept !== undefined) console.log(`${other}\nThe record of before is kept as ${kept}.`);
  const record = newRecord(workflowId.experiment(store.id, bound.name), { bound, digest }, origin);
  const writes: Writes = {
    async begin() {
      if (kept !== undefined) await store.putExperiment({ ...before!, name: kept });
      await store.putExperiment(record);
    },
    async undo() {
      await (found ? store.putExperiment(found) : store.removeExperiment(bound.name));
      if (kept !== undefined) await store.removeExperiment(kept);
    },
  };
  return { writes, record };
}

/** Throws for everything that `plan` finds missing: otherwise a step would need attention hours later. */
async function refuseFaulty(bound: Experiment['bound'], { pins }: Pick<ExperimentInput, 'pins'>): Promise<void> {
  refuseMissing(bound.name, await faultsOf(await openServices(homeFolder()), bound, pins));
}
export function refuseMissing(name: string, faults: readonly string[]): void {
  if (faults.length > 0)
    throw new BackspinError('ConfigError', `${name} cannot be launched as it is:\n${faults.map((one) => `  ${one}`).join('\n')}`);
}

/** Returns the changes of a new configuration; undefined if there are none. Throws if an experiment of this name runs or has completed. */
function changesIn({ state }: ExperimentRecord, before: BoundConfig, bound: BoundConfig): string | undefined {
  const { name } = bound;
  const changes = differences(before, bound);
  if (changes.length === 0) return undefined;
  const lines = changes.map((line) => `  ${line}`).join('\n');
  const ways = `give this one a name of its own (--name), or fork that one (\`backspin fork\`)`;
  if (state === 'completed')
    throw new BackspinError('NameInUse', `${name} was launched with another configuration (then -> now):\n${lines}\n${capital(ways)}.`);
  if (state !== 'failed' && state !== 'cancelled')
    throw new BackspinError(
      'NameInUse',
      `${name} was launched with another configuration, and has not ended (then -> now):\n${lines}\nEnd it first (\`backspin cancel ${name}\`), ${ways}. Where a step waits, \`backspin retry-step ${name} --set path=value\` changes a setting of it as it is.`,
    );
  return `${name} ${state === 'cancelled' ? 'was cancelled' : 'has failed'}, and starts anew with another configuration (then -> now); what that does not touch is taken from the store:\n${lines}`;
}
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Returns a name for a kept record; no launched experiment can have such a name. */
async function freeName(store: Store, name: string): Promise<string> {
  const taken = await store.experimentNames();
  let n = 1;
  while (taken.includes(`${name}~${n}`)) n++;
  return `${name}~${n}`;
}

/** Starts `up` if nothing is up; of a store that hosts share, only checks that a host runs an orchestrator. `say` gets a line about what
 *  starts. */
export async function ensureUp(store: Store, say: (line: string) => void = console.log): Promise<void> {
  await requirePayloadKey(store);
  if (currentUp()?.ready) return;
  const server = namedServer();
  if (store.shared && server) return requireOrchestrator(store);
  say(
    server
      ? `No workers are up here: starting them for the Temporal server at ${server.address} (backspin up --detach).`
      : 'Nothing is up: starting a Temporal server and workers (backspin up --detach).',
  );
  await (await import('../host/detach.ts')).detach({}, say);
}

async function requireOrchestrator(store: Store): Promise<void> {
  const { polledQueue } = await import('../host/deployment.ts');
  const temporal = await connect();
  try {
    if ((await polledQueue(temporal.client, [queues.orchestrator(store.id)])) !== undefined) return;
    throw new BackspinError(
      'NotUp',
      `No host runs an orchestrator for ${store.location} at ${temporal.address}: start \`backspin worker --orchestrator --data\` on one, or \`backspin up\` here.`,
    );
  } finally {
    await temporal.close();
  }
}

export const newRecord = (id: string, { bound, digest }: Experiment, { parent }: Pick<ExperimentInput, 'parent'>): ExperimentRecord => ({
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
  decisions: {},
  result: null,
  failure: null,
  updated: new Date().toISOString(),
});
