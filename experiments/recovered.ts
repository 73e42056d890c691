/** The records of experiments whose files are damaged, as after a power failure: written again from what their workflows say. */
import { experimentRecord, type ExperimentRecord } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import { workflowId } from '../schemas/names.ts';
import type { Store } from '../store/store.ts';
import type { Progress } from '../schemas/messages.ts';
import type { Temporal } from '../host/connect.ts';
import { withTemporal } from './current.ts';

/** Milliseconds for an answer; where the workers have only just begun, a history may have to be replayed for it. */
const [DEADLINE, FIRST_DEADLINE] = [5_000, 30_000];

/** A record as `store.experiment` gives it. Throws what that does for a damaged one, unless its workflow answers. */
export async function soundRecord(
  store: Store,
  name: string,
  temporal?: Temporal,
  within = DEADLINE,
): Promise<ExperimentRecord | undefined> {
  try {
    return await store.experiment(name);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    const ask = async (one: Temporal | undefined) => one && askedFor(one, store, name, within);
    const told = await (temporal ? ask(temporal) : withTemporal(ask));
    if (!told) throw error;
    await store.putExperiment(told);
    console.error(`The record of ${name} was damaged, and is written again as its workflow tells it.`);
    return store.experiment(name);
  }
}

/** Likewise; one that is damaged for good counts as none. For whoever writes it anew. */
export async function recordOrNone(store: Store, name: string): Promise<ExperimentRecord | undefined> {
  try {
    return await soundRecord(store, name);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    console.error(`The record of ${name} was damaged, and is written anew.`);
    return undefined;
  }
}

/** Writes damaged records again where their workflows answer; the others stay as they are, and `list` names them. */
export async function mendRecords(store: Store): Promise<void> {
  for (const name of await store.experimentNames()) await soundRecord(store, name, undefined, FIRST_DEADLINE).catch(() => {});
}

const isDamaged = (error: unknown): boolean => error instanceof BackspinError && error.type === 'ArtifactDamaged';

async function askedFor({ client }: Temporal, store: Store, name: string, within: number): Promise<ExperimentRecord | undefined> {
  try {
    const handle = client.workflow.getHandle(workflowId.experiment(store.id, name));
    const { since, ...told } = await client.connection.withDeadline(Date.now() + within, () => handle.query<Progress>('progress'));
    return since === undefined && told.name === name ? experimentRecord.parse(told) : undefined;
  } catch {
    return undefined; // no such workflow, or nobody who answers for it
  }
}
