/** Restores damaged experiment records (after a power failure, for example) from their workflows. */
import { experimentRecord, type ExperimentRecord } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { workflowId } from '../schemas/names.ts';
import type { Store } from '../store/store.ts';
import type { Progress } from '../schemas/messages.ts';
import type { Temporal } from '../host/connect.ts';
import { withTemporal } from './current.ts';

/** Milliseconds for an answer; just after the start of the workers, a query may have to replay a history. */
const [DEADLINE, FIRST_DEADLINE] = [5_000, 30_000];

/** Returns the record from `store.experiment`. If it is damaged, restores it from its workflow, or throws if the workflow does not
 *  answer. */
export async function readOrRestore(
  store: Store,
  name: string,
  temporal?: Temporal,
  within = DEADLINE,
): Promise<ExperimentRecord | undefined> {
  try {
    return await store.experiment(name);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    const query = async (one: Temporal | undefined) => one && queryRecord(one, store, name, within);
    const restored = await (temporal ? query(temporal) : withTemporal(query));
    if (!restored) throw error;
    await store.putExperiment(restored);
    console.error(`The record of ${name} was damaged, and is written again as its workflow tells it.`);
    return store.experiment(name);
  }
}

/** The same for callers that overwrite the record: returns undefined if it cannot be restored. */
export async function readOrDiscard(store: Store, name: string): Promise<ExperimentRecord | undefined> {
  try {
    return await readOrRestore(store, name);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    console.error(`The record of ${name} was damaged, and is written anew.`);
    return undefined;
  }
}

/** Restores the damaged records whose workflows answer; `list` names the others. */
export async function restoreRecords(store: Store): Promise<void> {
  for (const name of await store.experimentNames()) await readOrRestore(store, name, undefined, FIRST_DEADLINE).catch(() => {});
}

const isDamaged = (error: unknown): boolean => error instanceof BackspinError && error.type === 'ArtifactDamaged';

async function queryRecord({ client }: Temporal, store: Store, name: string, within: number): Promise<ExperimentRecord | undefined> {
  try {
    const handle = client.workflow.getHandle(workflowId.experiment(store.id, name));
    const { since, ...told } = await client.connection.withDeadline(Date.now() + within, () => handle.query<Progress>('progress'));
    return since === undefined && told.name === name ? experimentRecord.parse(told) : undefined;
  } catch {
    return undefined; // no such workflow, or no worker answers
  }
}
